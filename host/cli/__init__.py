"""The command ``equipoise``."""

from .app import main

__all__ = ["main"]
