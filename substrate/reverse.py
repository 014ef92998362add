"""The reverse process as a device runs it on its own: a table of rows, and what it becomes in a device's formats.

All samplers here are one recurrence of the sampled module's clamped states c, from one noise level to the next:

    c' = a c + b out + g h + e xi

with ``out`` the output module's states at the end of the free phase at c, h the c of the row before, and xi noise of
variance 1. The first row makes the noise to begin with, the last the samples; there is a free phase between any two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .codes import NOISE_VARIANCE, ScheduleCodes, encode_clamped, encode_schedule
from .errors import CapabilityError, DataError
from .formats import FORMATS, Fixed, Formats
from .geometry import SCHEDULE_ROWS
from .network import Network
from .phases import Estimator, Schedule
from .protocol import Mode

__all__ = ["MOST_SAMPLES", "XI_SHIFT", "Draws", "Program", "ProgramCodes", "encode_program", "others"]

MOST_SAMPLES = 1 << 16
"""Samples with noise of their own, of one seed."""

_WORD = (1 << FORMATS.factor.width) - 1
_SIGN = 1 << FORMATS.factor.width - 1

XI_SHIFT = 5
"""The noise generator's integer, which ends at 1020, is shifted so far to the left to be a state."""


@dataclass(frozen=True)
class Program:
    """A reverse process.

    Parameters
    ----------
    sampled
        Clamped module that holds the sample; with as many neurons as the output module.
    levels
        Noise level of the free phase after each row but the last; (rows - 1,) integers.
    factors
        a, b, g and e of each row, (rows, 4). In the first, all but e must be 0; in the second, g, as there is no c of
        the row before the first.
    free_steps
        Relaxation steps of each free phase, 1 to 65535.
    temperature
        Of the Langevin noise in the free phases; 0 turns it off.
    warm
        Whether a free phase begins from the states of the one before, and not from zero.
    """

    sampled: str
    levels: NDArray[np.int64]
    factors: NDArray[np.float64]
    free_steps: int
    temperature: float = 0.0
    warm: bool = False

    def __post_init__(self) -> None:
        rows = len(self.factors)
        if not 2 <= rows <= SCHEDULE_ROWS:
            raise CapabilityError(
                f"A reverse process must have 2 to {SCHEDULE_ROWS} rows, not {rows}: take fewer noise levels"
            )
        if self.factors.shape != (rows, 4) or self.levels.shape != (rows - 1,):
            raise DataError(
                f"A reverse process of {rows} rows must have factors ({rows}, 4) and levels ({rows - 1},), "
                f"not {self.factors.shape} and {self.levels.shape}"
            )
        if self.factors[0, :3].any() or self.factors[1, 2]:
            raise DataError(
                "A reverse process must begin with a row of noise alone, and one that needs no state before"
            )

    def schedule(self, seed: int) -> Schedule:
        """Its free phases as a schedule."""
        return Schedule(self.free_steps, estimator=Estimator.FREE, temperature=self.temperature, seed=seed)

    def check(self, network: Network) -> None:
        """Raise :class:`DataError` if ``network`` does not have what it needs."""
        clamped = [module.name for module in network if module.clamped]
        if self.sampled not in clamped:
            raise DataError(f"The sampled module must be one of the clamped ones {clamped}, not '{self.sampled}'")
        size = network[self.sampled].size
        if size != network.outputs:
            raise DataError(
                f"The sampled module '{self.sampled}' must have as many neurons as the output module, "
                f"{network.outputs}, not {size}"
            )
        if self.levels.min() < 0 or self.levels.max() >= network.levels:
            bad = self.levels[(self.levels < 0) | (self.levels >= network.levels)][0]
            raise DataError(f"Levels of a reverse process must be from 0 to {network.levels - 1}, not {bad}")


@dataclass(frozen=True)
class Draws:
    """Samples to be generated.

    Parameters
    ----------
    clamped
        States of the clamped modules that are not sampled, in network order; (B, neurons), neurons may be 0.
    seed
        Of all noise, 0 to 2**64 - 1.
    first
        Number of the first sample. Sample j of a seed is the same whatever it is drawn together with.
    """

    clamped: NDArray[np.float64]
    seed: int = 0
    first: int = 0

    def __len__(self) -> int:
        return len(self.clamped)

    def check(self, network: Network, program: Program) -> None:
        """Raise :class:`DataError` if it does not fit ``network`` and ``program``."""
        size = int(others(network, program.sampled).sum())
        if not len(self) or self.clamped.shape != (len(self), size):
            raise DataError(
                f"Clamped states of samples must have shape (samples, {size}), at least 1, not {self.clamped.shape}"
            )
        if not 0 <= self.first <= MOST_SAMPLES - len(self):
            raise DataError(
                f"Samples of one seed are numbered 0 to {MOST_SAMPLES - 1}, not {self.first} to "
                f"{self.first + len(self) - 1}: take another seed"
            )


@dataclass(frozen=True, slots=True)
class ProgramCodes:
    """A program as a device holds it.

    Attributes
    ----------
    table
        Level, a, b, g and e of each row, (rows, 5). The last has no level, but 0.
    module
        Number of the sampled module.
    phases
        Registers of its free phases.
    """

    table: NDArray[np.int64]
    module: int
    phases: ScheduleCodes

    @property
    def words(self) -> NDArray[np.int64]:
        """The table as a device holds it: of a factor, the bits that its format has."""
        return self.table & _WORD

    @classmethod
    def from_words(cls, words: NDArray[np.int64], module: int, phases: ScheduleCodes) -> Self:
        """The codes that a device holds."""
        return cls(words - ((words & _SIGN) << 1), module, phases)

    @property
    def rows(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Level and factors of each row."""
        return ((int(level), tuple(factors)) for level, *factors in self.table.tolist())


def others(network: Network, sampled: str) -> NDArray[np.bool_]:
    """Which neurons are clamped and not sampled, (N,)."""
    mask = network.clamped.copy()
    mask[network.slices[sampled]] = False
    return mask


def encode_program(
    network: Network, program: Program, draws: Draws, formats: Formats = FORMATS
) -> tuple[ProgramCodes, NDArray[np.int64]]:
    """Round a program, and the clamped states of draws, to a device's formats.

    Raises
    ------
    CapabilityError
        If a factor or the temperature does not fit its format.
    DataError
        If network, program and draws do not fit, or a clamped state is outside the range.
    """
    program.check(network)
    draws.check(network, program)
    # The noise is a state: the generator's integer, shifted.
    scale = sqrt(NOISE_VARIANCE) * 2.0**XI_SHIFT * formats.state.lsb
    factors = program.factors / np.array([1.0, 1.0, 1.0, scale])
    if not formats.factor.fits(factors):
        raise CapabilityError(_too_far(factors, formats.factor))
    levels = np.append(program.levels, 0)
    table = np.column_stack([levels, formats.factor.encode(factors)])
    phases = encode_schedule(network, program.schedule(draws.seed), formats)
    phases = ScheduleCodes(Mode.SAMPLE, phases.beta, phases.dt_shift, phases.amplitude, formats)
    module = [module.name for module in network].index(program.sampled)
    return ProgramCodes(table, module, phases), encode_clamped(draws.clamped, formats)


def _too_far(factors: NDArray[np.float64], fixed: Fixed) -> str:
    row, place = np.unravel_index(np.argmax(np.abs(factors)), factors.shape)
    value = float(factors[row, place])
    told = f"{value:.3g}" if isfinite(value) else str(value)
    return (
        f"A reverse process with a factor of {told} (row {row}) goes too far in one step for this device, whose "
        f"factors end at {fixed.limit:g}: take more steps"
    )
