"""Which correction a board gets when it is opened, and what it is held against from then on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ...calibration.check import RecordStandard
from ...calibration.history import History, default_folder
from ...drivers.analog.board import AnalogBoard
from ...drivers.analog.correction import AsMade, Correction
from ...drivers.analog.standard import Standard, refuse_drifted

__all__ = ["correction_for"]


def correction_for(
    board: AnalogBoard, folder: Path | None = None, *, prefix: str = "", force: bool = False
) -> tuple[Correction, Standard | None]:
    """The correction for ``board`` from its newest record, once a check standard agrees with it; and that standard.

    Parameters
    ----------
    folder
        Of records; the default one if None.
    prefix
        Of the identifier of a record to use instead.
    force
        Use the record whatever its state is, and whatever checks say.

    Returns
    -------
    Correction, Standard
        None of its own for a board that was never calibrated: its ``record`` is empty, which the run records, and
        there is nothing to hold it against.

    Raises
    ------
    CalibrationError
        If the record is expired, failed or of another board, or if the board has drifted from it.
    DeviceError
        If the board fails.
    """
    history = History(folder or default_folder())
    record = history.usable(board, datetime.now(UTC), prefix=prefix, force=force)
    if record is None:
        return AsMade(board.limits.lsb), None
    standard = RecordStandard(board, record, history, strict=not force)
    if not force:
        refuse_drifted(standard.check())
    return record.correction(), standard
