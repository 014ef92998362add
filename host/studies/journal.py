"""Journal of a study: each measurement as it comes, a JSON object a line, so that nothing is measured twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...substrate.errors import RunError
from ...substrate.files import write_atomically
from ..jsonable import plain

__all__ = ["Journal"]


class Journal:
    """Measurements by key, kept in a file.

    A journal that another head began (another seed, device, version or size) is put aside: begun anew. So is one that
    was closed, since who asks again wants to measure again.

    Parameters
    ----------
    path
        The file, ``NAME.part`` while the study is under way; :meth:`close` takes the ending off.
    head
        What the measurements depend on.

    Attributes
    ----------
    resumed
        Number of measurements found.
    since
        When they were begun, as ISO 8601.

    Raises
    ------
    RunError
        If the file cannot be read or written.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._values: dict[str, Any] = {}
        head = plain(head)
        self.since = datetime.now(UTC).isoformat(timespec="seconds")
        records = self._read()
        if records and records[0].get("head") == head:
            self.since = records[0]["begun"]
            self._values = {record["key"]: record["value"] for record in records[1:]}
        else:
            records = [{"head": head, "begun": self.since}]
        self.resumed = len(self._values)
        # Also written when resumed: a line that was cut short would spoil the one after it.
        self._guard(lambda: write_atomically(self._part, "".join(map(_line, records)).encode()))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def add(self, key: str, value: Any) -> None:
        """Keep a measurement."""
        line = _line({"key": key, "value": value})
        self._guard(lambda: self._append(line.encode()))
        self._values[key] = json.loads(line)["value"]

    def close(self) -> None:
        """Everything is measured: keep the file under its own name, as a record that is never resumed."""
        self._guard(lambda: self._part.replace(self._path))

    def _append(self, line: bytes) -> None:
        # One write: an interrupt comes before or after the line, never within.
        with self._part.open("ab", buffering=0) as file:
            file.write(line)

    def _read(self) -> list[dict[str, Any]]:
        """All complete lines; the last may have been cut short."""
        try:
            lines = self._part.read_text(encoding="utf-8").split("\n")
            return [json.loads(line) for line in lines[:-1]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise RunError(f"Journal '{self._part}' cannot be read ({error}): delete it to begin anew") from None

    def _guard(self, write: Any) -> None:
        try:
            write()
        except OSError as error:
            raise RunError(f"Journal '{self._part}' cannot be written: {error.strerror or error}") from None


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
