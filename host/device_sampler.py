"""Samplers that run on the device: the table of a whole reverse process, and the samples that it makes.

The host's samplers (``host/sampler.py``) take a noisy sample y from level to level. A device keeps c = c_in(sigma) y,
what its clamped module holds: of variance about 1 at every level. With D = c_skip y + c_out F and y = c / c_in, every
step is a sum of c, F, the c before and noise, with factors that depend on the levels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import CapabilityError
from ..substrate.interface import Substrate
from ..substrate.reverse import MOST_SAMPLES, Draws, Program
from .conditioning import UNLABELLED, told_labels
from .config import TrainConfig
from .data import SIGMA_DATA, Labels
from .edm import Edm
from .random import device_seed
from .sampler import Sampler, schedule

__all__ = ["reverse_program", "sample_on_device"]

Array = NDArray[np.float64]

_AT_ONCE = 32
"""Samples of one run: enough that what comes with a run costs little, few enough that it is soon done or repeated."""


def sample_on_device(
    device: Substrate, config: TrainConfig, count: int, *,
    steps: int = 18, sampler: Sampler = Sampler.HEUN, seed: int = 0, labels: Labels | None = None,
    guidance: float = 1.0, warm: bool = False, free_steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Array:  # fmt: skip
    """Generate ``count`` samples with the parameters that the device holds, by itself; (count, outputs).

    As :func:`.sampler.sample`, but that all noise is the device's, and ``progress`` is told samples. Sample j depends
    on parameters, table, seed and j alone.

    Raises
    ------
    CapabilityError
        If the device cannot, or not this.
    """
    if guidance != 1.0:
        raise CapabilityError(
            f"guidance {guidance:g} takes two denoisers, of which a device has one: let the host do it (without "
            "--on-device)"
        )
    if count > MOST_SAMPLES:
        raise CapabilityError(f"A device makes at most {MOST_SAMPLES} samples of one seed, not {count}: use more seeds")
    program = reverse_program(config, steps, sampler, free_steps=free_steps, warm=warm)
    told = told_labels(config, np.full(count, UNLABELLED) if labels is None else labels)
    size = min(_AT_ONCE, device.identity.batch_limit)
    parts = []
    for begin in range(0, count, size):
        draws = Draws(told[begin : begin + size], device_seed(seed, "sample", 0), begin)
        parts.append(device.generate(program, draws).outputs)
        if progress is not None:
            progress(begin + len(draws), count)
    return SIGMA_DATA * np.concatenate(parts)


def reverse_program(
    config: TrainConfig, steps: int, sampler: Sampler, *, free_steps: int | None = None, warm: bool = False
) -> Program:
    """The table of a sampler.

    Raises
    ------
    CapabilityError
        If the sampler, or the run's network, cannot be put into one, or it has too many rows.
    """
    if sampler is Sampler.LANGEVIN:
        raise CapabilityError(
            "langevin measures and amplifies the device's noise on the host: choose another --sampler, or leave out "
            "--on-device"
        )
    inputs = [module.name for module in config.network if module.clamped and module.name != config.label]
    if len(inputs) != 1:
        raise CapabilityError(f"A device samples one clamped module, not {len(inputs)}: {', '.join(inputs)}")
    sigmas = schedule(config, steps, sampler)
    make = {Sampler.HEUN: _heun, Sampler.ANCESTRAL: _ancestral}.get(sampler, _euler)
    start = (0.0, 0.0, 0.0, float(Edm.c_in(sigmas[0]) * sigmas[0]))
    rows = [(sigmas[0], start)]
    for sigma, lower in pairwise(sigmas.tolist()):
        rows += make(sigma, lower)
    reached, factors = zip(*rows, strict=True)
    return Program(
        inputs[0],
        config.edm.level(np.array(reached[:-1])),
        np.array(factors),
        config.free_steps if free_steps is None else free_steps,
        config.temperature,
        warm,
    )


_Row = tuple[float, tuple[float, float, float, float]]
"""The level that a row reaches, and its factors."""


def _coefficients(sigma: float) -> tuple[float, float, float]:
    """c_in, c_skip and c_out. At the end c_in is that of no noise: the sample itself, of variance 1."""
    level = np.array(sigma)
    return float(Edm.c_in(level)), float(Edm.c_skip(level)), float(Edm.c_out(level))


def _euler(sigma: float, lower: float) -> Iterator[_Row]:
    """y' = r y + (1 - r) D, r = lower / sigma."""
    ratio = lower / sigma
    scale, skip, out = _coefficients(sigma)
    then, _, _ = _coefficients(lower)
    yield lower, (then * (ratio + (1 - ratio) * skip) / scale, then * (1 - ratio) * out, 0.0, 0.0)


def _heun(sigma: float, lower: float) -> Iterator[_Row]:
    """Euler to y~, and then y' = (y + y~) / 2 + (lower - sigma) / 2 (y~ - D(y~)) / lower."""
    yield from _euler(sigma, lower)
    if lower > 0:
        scale, _, _ = _coefficients(sigma)
        then, skip, out = _coefficients(lower)
        half = (lower - sigma) / (2 * lower)
        yield lower, (0.5 + half * (1 - skip), -then * half * out, then / (2 * scale), 0.0)


def _ancestral(sigma: float, lower: float) -> Iterator[_Row]:
    """y' = D + r^2 (y - D) + lower sqrt(1 - r^2) xi, r = lower / sigma."""
    kept = (lower / sigma) ** 2
    scale, skip, out = _coefficients(sigma)
    then, _, _ = _coefficients(lower)
    noise = then * lower * np.sqrt(1 - kept)
    yield lower, (then * (kept + (1 - kept) * skip) / scale, then * (1 - kept) * out, 0.0, float(noise))
