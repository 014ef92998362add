"""History: all records of all boards in one folder. Records are only ever added."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from ..drivers.analog.board import AnalogBoard, BoardIdentity
from ..drivers.analog.standard import Check
from ..substrate.errors import CalibrationError
from ..substrate.files import write_atomically
from .record import Record, State, board_uid

__all__ = ["FOLDER_VARIABLE", "History", "default_folder"]

FOLDER_VARIABLE = "EQUIPOISE_CALIBRATIONS"
"""Environment variable with the folder of records."""


def default_folder() -> Path:
    """Where records are unless told otherwise: of :data:`FOLDER_VARIABLE`, else with the user's data."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else user_data_path("equipoise") / "calibrations"


class History:
    """Records in ``folder``: a folder for each board, in it a JSON file and its arrays for each record.

    Checks of a record are beside it, one JSON object a line; they are only ever added, too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def board_folder(self, identity: BoardIdentity) -> Path:
        """Folder of a board's records, made if need be.

        Raises
        ------
        CalibrationError
            If it cannot be made.
        """
        uid = board_uid(identity)
        # Two serial numbers may look alike once all but letters is taken away.
        name = f"{re.sub(r'[^A-Za-z0-9]+', '-', uid).strip('-')}-{hashlib.sha256(uid.encode()).hexdigest()[:6]}"
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CalibrationError(
                f"Folder '{folder}' for calibrations cannot be made ({error.strerror}): choose another with --folder"
            ) from None
        return folder

    def add(self, record: Record, arrays: bytes) -> Path:
        """Add a record and its arrays.

        Raises
        ------
        CalibrationError
            If it cannot be written, or is there already.
        """
        path = self._path(record)
        if path.exists():
            raise CalibrationError(f"Record '{path}' is there already: records are never replaced")
        try:
            write_atomically(path.with_suffix(".npz"), arrays)
            write_atomically(path, record.to_json())
        except OSError as error:
            raise CalibrationError(f"Record '{path}' cannot be written ({error.strerror}): free space there") from None
        return path

    def add_check(self, record: Record, check: Check, now: datetime) -> None:
        """Add what a check of ``record`` found.

        Raises
        ------
        CalibrationError
            If it cannot be written.
        """
        path = self._path(record).with_suffix(".checks.jsonl")
        found = {"at": now.isoformat(), "missed_lsb": check.missed.tolist(), "reason": check.reason}
        found["temperature"] = check.temperature
        try:
            with path.open("ab", buffering=0) as file:
                file.write((json.dumps(found) + "\n").encode())
        except OSError as error:
            raise CalibrationError(
                f"Check '{path}' cannot be written ({error.strerror}): make its folder writable"
            ) from None

    def checks(self, record: Record) -> list[dict[str, Any]]:
        """All checks of ``record``, oldest first; a last line cut short by a crash is not one.

        Raises
        ------
        CalibrationError
            If they cannot be read.
        """
        path = self._path(record).with_suffix(".checks.jsonl")
        try:
            return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise CalibrationError(f"Checks '{path}' cannot be read ({error}): move the file away") from None

    def state(self, record: Record, now: datetime, board: AnalogBoard | None = None) -> State:
        """Whether ``record`` may be used now (on ``board`` if it is given); ``drifted`` if its last check says so."""
        state = record.state(now, board.identity, board.limits) if board else record.state(now)
        checks = self.checks(record)
        return State.DRIFTED if state.usable and checks and checks[-1]["reason"] else state

    def paths(self) -> list[Path]:
        """Files of all records, oldest first within a board."""
        return sorted(self.folder.glob("*/*-????????????????.json"))

    def records(self, uid: str | None = None) -> list[Record]:
        """All records, or those of one board, oldest first."""
        found = [Record.from_json(path.read_bytes(), str(path)) for path in self.paths()]
        return sorted((record for record in found if uid in {None, record.uid}), key=lambda record: record.created)

    def find(self, prefix: str) -> tuple[Record, Path]:
        """The record whose identifier begins with ``prefix``, and its file.

        Raises
        ------
        CalibrationError
            If there is none, or more than one.
        """
        paths = [path for path in self.paths() if path.stem.rsplit("-", 1)[1].startswith(prefix)]
        if len(paths) != 1:
            what = "no record" if not paths else f"{len(paths)} records"
            raise CalibrationError(f"There is {what} '{prefix}' in {self.folder}: see equipoise calibration list")
        return Record.from_json(paths[0].read_bytes(), str(paths[0])), paths[0]

    def latest(self, identity: BoardIdentity) -> Record | None:
        """The newest record of a board, failed or not; None if it was never calibrated."""
        records = self.records(board_uid(identity))
        return records[-1] if records else None

    def usable(self, board: AnalogBoard, now: datetime, *, prefix: str = "", force: bool = False) -> Record | None:
        """The record to use on ``board`` now: the newest, or the one with ``prefix``; None if it was never calibrated.

        Raises
        ------
        CalibrationError
            If that is expired, failed or of another board, unless ``force`` is given.
        """
        record = self.find(prefix)[0] if prefix else self.latest(board.identity)
        if record is None:
            return None
        state = record.state(now, board.identity, board.limits)
        if not state.usable and not force:
            other = f"is of another board ({record.uid}, not {board_uid(board.identity)})"
            if record.uid == board_uid(board.identity):
                other = "is of this board when it had other limits"
            reasons = {
                State.EXPIRED: f"expired on {record.valid_until[:10]}",
                State.FAILED: f"failed ({record.failed})",
                State.FOREIGN: other,
            }
            raise CalibrationError(
                f"Calibration {record.id} {reasons[state]}: run equipoise calibrate on this board, or use its newest "
                "record whatever its state with the option calibration=any of its address"
            )
        return record

    def _path(self, record: Record) -> Path:
        """File of a record."""
        folder = self.board_folder(BoardIdentity(**record.device))
        return folder / f"{record.created[:19].replace(':', '')}-{record.id}.json"
