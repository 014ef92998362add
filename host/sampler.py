"""Samplers: from noise to samples, one denoiser call a free run on the device."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import CapabilityError
from ..substrate.interface import Substrate
from .conditioning import UNLABELLED
from .config import TrainConfig
from .data import Labels
from .denoiser import Denoiser
from .guidance import Beyond
from .levels import cosine_levels, geometric_levels, karras_levels
from .random import device_seed, generator
from .thermal import ThermalDenoiser

__all__ = ["Sampler", "sample", "schedule"]

Array = NDArray[np.float64]
Denoise = Callable[[Array, float], Array]

_LANGEVIN_CALLS = 4
"""Langevin steps at each noise level, the last of which goes on to the next."""

_LANGEVIN_STEP = 0.3
"""Part of the way to the denoised sample that a Langevin step goes, at least."""


class Sampler(StrEnum):
    """How samples get from one noise level to the next."""

    EULER = "euler"
    """The probability flow, one denoiser call a step (Karras et al. 2022)."""

    HEUN = "heun"
    """The same to second order, two calls a step (their Algorithm 1)."""

    DDIM = "ddim"
    """The deterministic step of Song et al. 2021, at the levels of a cosine schedule; in these coordinates the step is
    that of Euler."""

    ANCESTRAL = "ancestral"
    """A draw from the posterior of the next level given the denoised sample (Ho et al. 2020), by the host's noise."""

    LANGEVIN = "langevin"
    """Annealed Langevin (Song and Ermon 2019), by the device's own noise; several calls a level."""


def schedule(config: TrainConfig, steps: int, sampler: Sampler = Sampler.HEUN) -> Array:
    """Noise levels of the steps from sigma_max down, and 0 at the end; (steps + 1,)."""
    levels = {Sampler.DDIM: cosine_levels, Sampler.LANGEVIN: geometric_levels}.get(sampler, karras_levels)
    return levels(config.edm, steps)


def sample(
    device: Substrate, config: TrainConfig, count: int, size: int, *,
    steps: int = 18, sampler: Sampler = Sampler.HEUN, seed: int = 0, labels: Labels | None = None,
    guidance: float = 1.0, beyond: Beyond | None = None, warm: bool = False, free_steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Array:  # fmt: skip
    """Generate ``count`` samples of ``size`` numbers with the parameters that the device holds; (count, size).

    Parameters
    ----------
    labels
        Class of each sample, (count,); None, samples of all classes.
    guidance
        How far the denoiser is moved from what it does without label to what it does with it, and beyond: 1 is what it
        does with it, more exaggerates the class (Ho and Salimans 2022, whose weight is guidance - 1). Other than 1, a
        call denoises twice as many samples.
    beyond
        Guidance away from the linear filter; None, without.
    warm
        Whether each call begins from the states of the one before.
    free_steps
        Relaxation steps of a call; None, as in training.
    progress
        Told denoiser calls done and to do.

    Raises
    ------
    CapabilityError
        If the device lacks what the sampler or the warm start needs.
    """
    sigmas = schedule(config, steps, sampler)
    samples: Array = sigmas[0] * generator(seed, "sample").normal(size=(count, size))
    calls = {Sampler.HEUN: 2 * steps - 1, Sampler.LANGEVIN: _LANGEVIN_CALLS * steps}.get(sampler, steps)
    if sampler is Sampler.LANGEVIN:
        if warm:
            raise CapabilityError("langevin takes its noise from the device's relaxation: leave out the warm start")
        noisy = ThermalDenoiser(device, config, free_steps)
        noisy.calibrate(sigmas[:-1], size, device_seed(seed, "calibrate", 0))
        call: Callable[..., Array] = noisy
    else:
        call = Denoiser(device, config, free_steps=free_steps, warm=warm)
    done = 0

    def denoise(noisy: Array, sigma: float) -> Array:
        nonlocal done
        run_seed = device_seed(seed, "sample", done)
        if labels is None or guidance == 1.0:
            denoised = call(noisy, np.full(count, sigma), run_seed, labels)
        else:
            both = np.concatenate([labels, np.full(count, UNLABELLED)])
            with_label, without = np.split(call(np.tile(noisy, (2, 1)), np.full(2 * count, sigma), run_seed, both), 2)
            denoised = without + guidance * (with_label - without)
        if beyond is not None:
            denoised = beyond(denoised, noisy, sigma)
        done += 1
        if progress is not None:
            progress(done, calls)
        return denoised

    if sampler is Sampler.LANGEVIN:
        return _langevin(denoise, noisy, samples, sigmas)
    if sampler is Sampler.ANCESTRAL:
        return _ancestral(denoise, samples, sigmas, generator(seed, "ancestral"))
    return _flow(denoise, samples, sigmas, second=sampler is Sampler.HEUN)


def _flow(denoise: Denoise, samples: Array, sigmas: Array, *, second: bool) -> Array:
    """The probability flow, to first or second order."""

    def slope(samples: Array, sigma: float) -> Array:
        return np.asarray((samples - denoise(samples, sigma)) / sigma)

    for sigma, lower in pairwise(sigmas):
        first = slope(samples, sigma)
        moved = samples + (lower - sigma) * first
        if second and lower > 0:
            moved = samples + (lower - sigma) * (first + slope(moved, lower)) / 2
        samples = moved
    return samples


def _ancestral(denoise: Denoise, samples: Array, sigmas: Array, rng: np.random.Generator) -> Array:
    """Given y at sigma and x, a sample at the lower level has mean x + (lower / sigma)^2 (y - x)."""
    for sigma, lower in pairwise(sigmas):
        clean = denoise(samples, sigma)
        kept = (lower / sigma) ** 2
        samples = clean + kept * (samples - clean)
        samples += lower * np.sqrt(1 - kept) * rng.normal(size=samples.shape)
    return samples


def _langevin(denoise: Denoise, thermal: ThermalDenoiser, samples: Array, sigmas: Array) -> Array:
    """Steps towards the denoised sample, each with as much noise as makes up for what it takes away.

    With a step of size e, y moves by e (D(y) - y), which is e sigma^2 times the score, and what noise it had is left
    with (1 - e) sigma: it is filled up to the level that comes next (Jolicoeur-Martineau et al. 2021).
    """
    for sigma, lower in pairwise(sigmas):
        for number in range(_LANGEVIN_CALLS):
            level = sigma if number < _LANGEVIN_CALLS - 1 else lower
            kept = min(1 - _LANGEVIN_STEP, level / sigma)
            clean = denoise(samples, sigma)
            samples = clean + kept * (samples - clean)
            samples += np.sqrt(max(0.0, level**2 - (kept * sigma) ** 2)) * thermal.noise[: len(samples)]
    return samples
