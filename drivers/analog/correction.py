"""Correction: the one place where what a network means becomes what one particular board must be told."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from .board import Drive, Reading, Wiring

__all__ = ["AsMade", "Correction"]


class Correction(ABC):
    """Turns wanted into told, and read into meant; the substrate calls it, and nobody else does.

    What symmetric nudging cancels by itself (stiffness, quartic, time constants) is left alone.
    """

    @property
    @abstractmethod
    def record(self) -> str:
        """Identifies the calibration record that this comes from; empty if from none."""

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


class AsMade(Correction):
    """No correction: the board as it was made."""

    def __init__(self, lsb: float) -> None:
        self._lsb = lsb

    @property
    def record(self) -> str:
        """Empty: no calibration."""
        return ""

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
