"""Check standard: readings that notice, from time to time, that a board is no longer what its calibration says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import CalibrationError

__all__ = ["CHECK_MINUTES", "Check", "Standard", "refuse_drifted"]

CHECK_MINUTES = 10.0
"""Minutes between two checks, unless told otherwise: each takes about a second."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found.

    Attributes
    ----------
    missed
        Largest difference (N,) of each channel from what the record predicts, in steps of the readout.
    reason
        Why the record must not be used any more; empty if it may.
    temperature
        Of the board (degrees Celsius), or None if it has no sensor.
    """

    missed: NDArray[np.float64]
    reason: str
    temperature: float | None = None


class Standard(ABC):
    """What a board is held against.

    Attributes
    ----------
    strict
        Whether a board that has drifted is refused; else it is only told.
    """

    strict: bool

    @property
    @abstractmethod
    def state(self) -> str:
        """Of the calibration record now, such as ``valid`` or ``expired``: a run keeps it."""

    @abstractmethod
    def check(self) -> Check:
        """Read the board, and keep what was found with the record. The board's weights are overwritten.

        Raises
        ------
        DeviceError
            If the board fails.
        CalibrationError
            If nothing can be kept.
        """


def refuse_drifted(check: Check) -> None:
    """Raise :class:`CalibrationError` if a board has drifted."""
    if check.reason:
        raise CalibrationError(
            f"The board has drifted: {check.reason}. Run equipoise calibrate, or use the record all the same with the "
            "option calibration=any of the board's address"
        )
