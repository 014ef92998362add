"""Randomness that depends on the seed, the purpose and the step alone: what makes a resumed run the same run."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["device_seed", "generator"]


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """A counter-based generator (Philox, Salmon et al. 2011) of its own for each purpose and step."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(seed, purpose, step)[:16], "little")))


def device_seed(seed: int, purpose: str, step: int) -> int:
    """Seed of the device's noise, 64 bits."""
    return int.from_bytes(_digest(seed, purpose, step)[16:24], "little")


def _digest(seed: int, purpose: str, step: int) -> bytes:
    return hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
