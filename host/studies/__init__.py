"""Studies: each checks one claim of the method on a device, and says what it measured and whether the claim held."""

from .registry import STUDIES, load

__all__ = ["STUDIES", "load"]
