"""Journal: what a calibration has measured so far, one line a vector, so that a failure in the middle loses nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ..substrate.errors import RunError

__all__ = ["FRESH", "Journal"]

FRESH = 3600.0
"""Age (s) up to which readings of an interrupted calibration are taken over: a board drifts."""


class Journal:
    """A file of JSON lines: a head, then an entry for each vector; a later entry replaces an earlier one.

    Parameters
    ----------
    path
        The file. If it is there, has the same ``head`` and is not older than :data:`FRESH`, its entries are taken over;
        otherwise it begins anew.
    head
        What must be the same for that: the board and the plan.

    Raises
    ------
    RunError
        If it cannot be written.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self._entries: dict[int, dict[str, Any]] = {}
        begin = self._take_over(head)
        self.resumed = len(self._entries)
        try:
            self._file = path.open("r+b" if begin else "wb")
            self._file.seek(begin)
            self._file.truncate()
            if not begin:
                self._write({"head": head})
        except OSError as error:
            raise RunError(f"Journal '{path}' cannot be written ({error.strerror}): choose another folder") from None

    def __contains__(self, number: int) -> bool:
        return number in self._entries

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._entries[number]

    def add(self, number: int, entry: dict[str, Any]) -> None:
        """Keep the readings of a vector."""
        self._write({"number": number, **entry})
        self._entries[number] = entry

    def close(self, *, done: bool = False) -> None:
        """Close the file; delete it if what it was for is ``done``."""
        self._file.close()
        if done:
            self.path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Keep what is of no use under another name, which is returned: once mended, the board is measured anew."""
        self.close()
        aside = self.path.with_name("refused.jsonl")
        try:
            self.path.replace(aside)
        except OSError as error:
            raise RunError(f"Journal '{self.path}' cannot be renamed ({error.strerror}): delete it") from None
        return aside

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _take_over(self, head: dict[str, Any]) -> int:
        """Read what is there; the number of bytes that are whole, 0 if nothing can be used."""
        try:
            if time.time() - self.path.stat().st_mtime > FRESH:
                return 0
            lines = self.path.read_bytes().splitlines(keepends=True)
        except OSError:
            return 0
        whole = 0
        for at, line in enumerate(lines):
            try:
                values = json.loads(line)
                if not line.endswith(b"\n") or (at == 0 and values != {"head": head}):
                    break
                if at:
                    self._entries[values.pop("number")] = values
            except (ValueError, KeyError, AttributeError):
                break
            whole += len(line)
        return whole
