"""Which correction a board gets when it is opened."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ...calibration.check import check_standard
from ...calibration.history import History, default_folder
from ...drivers.analog.board import AnalogBoard
from ...drivers.analog.correction import AsMade, Correction
from ...substrate.errors import CalibrationError

__all__ = ["correction_for"]


def correction_for(
    board: AnalogBoard, folder: Path | None = None, *, prefix: str = "", force: bool = False
) -> Correction:
    """The correction for ``board`` from its newest record, once a check standard agrees with it.

    Parameters
    ----------
    folder
        Of records; the default one if None.
    prefix
        Of the identifier of a record to use instead.
    force
        Use the record whatever its state is, and whatever the check says.

    Returns
    -------
    Correction
        None of its own for a board that was never calibrated: its ``record`` is empty, which the run records.

    Raises
    ------
    CalibrationError
        If the record is expired, failed or of another board, or if the board has drifted from it.
    DeviceError
        If the board fails.
    """
    record = History(folder or default_folder()).usable(board, datetime.now(UTC), prefix=prefix, force=force)
    if record is None:
        return AsMade(board.limits.lsb)
    if not force and (reason := check_standard(board, record).reason):
        raise CalibrationError(
            f"The board has drifted: {reason}. Run equipoise calibrate, or use the record all the same with the "
            "option calibration=any of the board's address"
        )
    return record.correction()
