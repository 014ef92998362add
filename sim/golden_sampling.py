"""The reverse process in the golden model: ``docs/arithmetic.md``, Reverse process, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..substrate.formats import Formats
from ..substrate.reverse import XI_SHIFT, ProgramCodes, others
from .noise import NoiseStream

if TYPE_CHECKING:
    from .golden import GoldenRun, Model

__all__ = ["UPDATE", "reverse_run"]

Array = NDArray[np.float64]

UPDATE = 3
"""The phase whose noise streams an update takes."""


def reverse_run(
    model: Model, program: ProgramCodes, clamped: NDArray[np.int64], free_steps: int, seed: int, first: int, warm: bool
) -> GoldenRun:
    """All rows of a reverse process.

    ``clamped`` are the states of the clamped modules that are not sampled, (B, n). In what it returns, ``last`` holds
    the samples on the sampled module, and ``free`` what was there a row before; residual and saturations are of all
    rows.
    """
    network, formats = model.network, model.formats
    sampled = network.slices[network.modules[program.module].name]
    states = np.zeros((len(clamped), network.neurons))
    states[:, others(network, network.modules[program.module].name)] = clamped
    samples = first + np.arange(len(clamped))
    total = model.rest(len(clamped))
    now = before = np.zeros((len(clamped), network.outputs))
    table = list(program.rows)
    for row, (level, factors) in enumerate(table):
        outputs = model.see(total.free[:, network.slices[network.output]])
        xi = NoiseStream(seed, samples, UPDATE, row).take(network.outputs) if factors[3] else np.zeros_like(now)
        terms = (now, outputs, before, xi * 2.0**XI_SHIFT)
        now, before = _update(factors, terms, formats, total), now
        states[:, sampled] = now
        if row == len(table) - 1:
            break
        free = model.free_phase(
            states[:, network.clamped],
            np.full(len(clamped), level),
            total.free if warm and row else None,
            free_steps,
            program.phases,
            seed,
            samples=samples,
            row=row,
        )
        total.free, total.residual = free.free, total.residual + free.residual
        total.clips = {kind: count + free.clips[kind] for kind, count in total.clips.items()}
    total.free = total.free.copy()
    total.free[:, network.clamped] = states[:, network.clamped] * 2.0**formats.guard
    total.last = total.free.copy()
    total.free[:, sampled] = before * 2.0**formats.guard
    return total


def _update(factors: tuple[int, ...], terms: tuple[Array, ...], formats: Formats, run: GoldenRun) -> Array:
    exact = sum(factor * term for factor, term in zip(factors, terms, strict=True))
    moved = np.floor(exact * 2.0**-formats.factor.fraction + 0.5)
    run.clips["state"] += int(np.count_nonzero(np.abs(moved) > formats.state.top))
    return np.clip(moved, -formats.state.top, formats.state.top)
