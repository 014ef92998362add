"""Correction: the one place where what a network means becomes what one particular board must be told."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from .board import Drive, Reading, Wiring

__all__ = ["AsMade", "Correction"]

Volts = NDArray[np.float64]


class Correction(ABC):
    """Turns wanted into told, and read into meant; the substrate calls it, and nobody else does.

    What symmetric nudging cancels by itself (stiffness, quartic, time constants) is left alone.
    """

    @property
    @abstractmethod
    def record(self) -> str:
        """Identifies the calibration record that this comes from; empty if from none."""

    @property
    @abstractmethod
    def held(self) -> dict[str, int]:
        """How many corrected values were beyond what the board can be told, and held there, since the beginning.

        By kind: ``clamps``, ``targets``, ``biases`` and ``nudges``.
        """

    @abstractmethod
    def at(self, temperature: float | None) -> bool:
        """Correct for what the board is at ``temperature`` (degrees Celsius; None if it does not tell) from now on.

        Returns
        -------
        bool
            Whether that changes what the board must be told: it must be wired anew then.
        """

    @abstractmethod
    def wiring(self, wanted: Wiring) -> Wiring:
        """Weights to tell the board so that it has the wanted ones."""

    @abstractmethod
    def drive(self, wanted: Drive) -> Drive:
        """Drive to tell the board so that it is driven as wanted."""

    @abstractmethod
    def states(self, reading: Reading) -> NDArray[np.float64]:
        """True states (N,) in volts, from those read."""

    @abstractmethod
    def uncertainty(self, reading: Reading) -> NDArray[np.float64]:
        """One standard deviation (N,), in volts, of a difference of two such states taken shortly after each other."""

    @abstractmethod
    def doubt(self, wanted: Drive, free: Volts, moved: Volts, *, both: bool) -> Volts:
        """Errors (D, N) that a difference of states may have because the correction is not known exactly, in volts.

        Each of D draws is one board that this one may be: it errs in the same way in all samples.

        Parameters
        ----------
        wanted
            The nudged phase.
        free, moved
            Free state (N,), and the difference (N,).
        both
            Whether the difference is of both nudged phases, else of the positive one and the free one.
        """


class AsMade(Correction):
    """No correction: the board as it was made."""

    def __init__(self, lsb: float) -> None:
        self._lsb = lsb

    @property
    def record(self) -> str:
        """Empty: no calibration."""
        return ""

    @property
    def held(self) -> dict[str, int]:
        """None: nothing is corrected."""
        return {}

    def at(self, temperature: float | None) -> bool:
        """The same at all temperatures."""
        return False

    def wiring(self, wanted: Wiring) -> Wiring:
        """As wanted."""
        return wanted

    def drive(self, wanted: Drive) -> Drive:
        """As wanted."""
        return wanted

    def states(self, reading: Reading) -> NDArray[np.float64]:
        """As read."""
        return reading.volts

    def uncertainty(self, reading: Reading) -> NDArray[np.float64]:
        """Of rounding to one step in both readings."""
        return np.full(reading.volts.shape, self._lsb / np.sqrt(6))

    def doubt(self, wanted: Drive, free: Volts, moved: Volts, *, both: bool) -> Volts:
        """No draws: how a board was made is not known at all."""
        return np.zeros((0, len(free)))
