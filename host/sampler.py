"""Samplers: from noise to samples, one denoiser call a free run on the device."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..substrate.interface import Substrate
from .config import TrainConfig
from .evaluation import denoise
from .random import device_seed, generator

__all__ = ["Sampler", "sample", "schedule"]

Array = NDArray[np.float64]

_RHO = 7.0


class Sampler(StrEnum):
    """How the probability flow is integrated."""

    EULER = "euler"
    """One denoiser call a step."""

    HEUN = "heun"
    """Second order, two calls a step (Karras et al. 2022, Algorithm 1)."""


def schedule(config: TrainConfig, steps: int) -> Array:
    """Noise levels of the steps from sigma_max down, and 0 at the end (Karras et al. 2022, eq. 5); (steps + 1,)."""
    high, low = config.edm.sigma_max ** (1 / _RHO), config.edm.sigma_min ** (1 / _RHO)
    ramp = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
    return np.append((high + ramp * (low - high)) ** _RHO, 0.0)


def sample(
    device: Substrate, config: TrainConfig, count: int, size: int, *,
    steps: int = 18, sampler: Sampler = Sampler.HEUN, seed: int = 0, progress: Callable[[int, int], None] | None = None,
) -> Array:  # fmt: skip
    """Generate ``count`` samples of ``size`` numbers with the parameters that the device holds; (count, size).

    ``progress`` is told denoiser calls done and to do.
    """
    sigmas = schedule(config, steps)
    calls = 2 * steps - 1 if sampler is Sampler.HEUN else steps
    done = 0

    def slope(samples: Array, sigma: float) -> Array:
        nonlocal done
        run_seed = device_seed(seed, "sample", done)
        denoised = denoise(device, config, samples, np.full(count, sigma), run_seed)
        done += 1
        if progress is not None:
            progress(done, calls)
        return np.asarray((samples - denoised) / sigma)

    samples: Array = sigmas[0] * generator(seed, "sample").normal(size=(count, size))
    for sigma, lower in pairwise(sigmas):
        first = slope(samples, sigma)
        moved = samples + (lower - sigma) * first
        if sampler is Sampler.HEUN and lower > 0:
            moved = samples + (lower - sigma) * (first + slope(moved, lower)) / 2
        samples = moved
    return samples
