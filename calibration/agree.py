"""Readings of one thing, until enough of them agree: an answer may be late, or an outlier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Reading
from .plan import BLOCKS

__all__ = ["Agreed", "read_agreed"]

Array = NDArray[np.float64]

AGREE = 3.0
"""Steps of the readout within which readings agree."""

MOST = 24
"""Readings after which what still does not agree is left out: where a fifth are outliers, one channel in 6000."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What readings agree on.

    Attributes
    ----------
    volts
        Three readings (3, N) of each channel, from the middle of those that agree; any where none do.
    valid
        Mask (N,): where more than half of all readings agree, and at least three.
    moved
        Between the first reading and the last one (N,), in volts.
    readings
        How many there were.
    """

    volts: Array
    valid: NDArray[np.bool_]
    moved: Array
    readings: int

    @property
    def median(self) -> Array:
        """Of the three readings, (N,)."""
        return np.asarray(np.median(self.volts, axis=0))


def read_agreed(read: Callable[[int], Reading], lsb: float) -> Agreed:
    """Read until three readings of every channel, and more than half of them all, are within :data:`AGREE` steps.

    Two would be too few: where a fifth of readings are outliers, two of them agree somewhere in a hundred vectors.
    Without the half, readings that noise scatters would agree once there are enough of them.

    Parameters
    ----------
    read
        Reads once; told how often it has been asked before.
    lsb
        Step of the readout (V).
    """
    seen: list[Array] = []
    usable: list[NDArray[np.bool_]] = []
    volts, valid = np.empty(0), np.zeros(0, dtype=bool)
    while len(seen) < MOST:
        reading = read(len(seen))
        seen.append(reading.volts)
        usable.append(~reading.overload & reading.settled)
        if len(seen) < BLOCKS:
            continue
        now, agree = _middle(np.where(usable, seen, np.nan), AGREE * lsb)
        if not len(valid):
            volts, valid = np.array(seen[-BLOCKS:]), np.zeros(agree.shape, dtype=bool)
        fresh = agree & ~valid
        volts[:, fresh], valid = now[:, fresh], valid | agree
        if valid.all():
            break
    return Agreed(volts, valid, np.abs(seen[0] - seen[-1]), len(seen))


def _middle(volts: Array, within: float) -> tuple[Array, NDArray[np.bool_]]:
    """The middle three of the readings (R, N) that agree best, (3, N), and whether they agree, (N,)."""
    count = max(BLOCKS, len(volts) // 2 + 1)
    ranked = np.sort(volts, axis=0)  # those that are not a number come last
    widths = np.nan_to_num(ranked[count - 1 :] - ranked[: len(volts) - count + 1], nan=np.inf)
    begin = widths.argmin(axis=0) + (count - BLOCKS) // 2
    rows = begin + np.arange(BLOCKS)[:, None]
    return np.take_along_axis(ranked, rows, axis=0), widths.min(axis=0) <= within
