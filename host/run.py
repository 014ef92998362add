"""Run directory: what a training run leaves behind, whatever instant it ends at.

``config.json`` and ``network.toml`` say what was trained, ``device.json`` on what; ``metrics.jsonl`` is one JSON
object a line, flushed as they come; ``checkpoints/`` holds whole files only. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from .. import __version__
from ..substrate.errors import RunError
from ..substrate.files import lock_file, write_atomically
from ..substrate.interface import Identity
from ..substrate.toml import network_to_toml
from .config import TrainConfig

__all__ = ["Run"]


class Run:
    """A run directory.

    Attributes
    ----------
    path
        The directory.
    config
        What is trained.
    """

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: TrainConfig) -> Self:
        """Make a run directory.

        Raises
        ------
        RunError
            If it exists already and is not empty, or cannot be written.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunError(f"Run directory '{folder}' is not empty: resume it, or choose another")
            (folder / "checkpoints").mkdir()
            run = cls(folder, config)
            run.write("network.toml", network_to_toml(config.network).encode())
            created = datetime.now(UTC).isoformat(timespec="seconds")
            head = {"version": __version__, "created": created, "config": config.to_json()}
            run.write("config.json", json.dumps(head, indent=2).encode())
        except OSError as error:
            raise RunError(f"Run directory '{folder}' cannot be written: {error.strerror or error}") from None
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a run directory.

        Raises
        ------
        RunError
            If it is not one, or its configuration cannot be read.
        """
        folder = Path(path)
        try:
            head = json.loads((folder / "config.json").read_text())
            config = TrainConfig.from_json(head["config"])
        except FileNotFoundError:
            raise RunError(f"'{folder}' is not a run directory: it has no config.json") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"Configuration '{folder / 'config.json'}' cannot be read ({error})") from None
        _check_links(folder)
        return cls(folder, config)

    def switch_update(self, update: str) -> None:
        """From here on have the host, or the device, change the parameters.

        Raises
        ------
        RunError
            If the rest of the configuration does not allow it, or it cannot be written.
        """
        with self.locked():
            self.config = replace(self.config, update=update)
            head = json.loads((self.path / "config.json").read_text())
            self.write("config.json", json.dumps(head | {"config": self.config.to_json()}, indent=2).encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training the same run; the system lets go of it however this one ends.

        Raises
        ------
        RunError
            If another process does.
        """
        try:
            file = (self.path / ".lock").open("a+")
        except OSError as error:
            raise RunError(f"Run directory '{self.path}' cannot be written: {error.strerror or error}") from None
        with file:
            try:
                lock_file(file)
            except BlockingIOError:
                file.seek(0)
                other = file.read().strip()
                raise RunError(
                    f"Run '{self.path}' is being trained by another process ({other}): wait for it, or stop it"
                ) from None
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            for left in self.path.rglob(".*.tmp"):  # of a process that was killed while it wrote
                left.unlink()
            yield

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the run, whole or not at all."""
        try:
            write_atomically(self.path / name, content)
        except OSError as error:
            raise RunError(f"File '{self.path / name}' cannot be written: {error.strerror or error}") from None
        return self.path / name

    def record_device(self, identity: Identity) -> None:
        """Record what the run is trained on."""
        self.write("device.json", json.dumps(asdict(identity), indent=2, default=str).encode())

    def device(self) -> dict[str, Any]:
        """What was recorded last of the device; empty if nothing was yet."""
        path = self.path / "device.json"
        try:
            return dict(json.loads(path.read_text())) if path.exists() else {}
        except (OSError, ValueError) as error:
            raise RunError(f"File '{path}' cannot be read ({error}): delete it to go on") from None

    def log(self, kind: str, **values: Any) -> dict[str, Any]:
        """Append one object to the metrics; returns it."""
        record = {"kind": kind, **values}
        line = (json.dumps(record) + "\n").encode()
        try:
            # One write: an interrupt comes before or after the line, never within.
            with (self.path / "metrics.jsonl").open("ab", buffering=0) as file:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RunError(f"Metrics of '{self.path}' cannot be written: {error.strerror or error}") from None
        return record

    def metrics(self) -> list[dict[str, Any]]:
        """All complete objects of the metrics; a last line cut short by a crash is not one."""
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        try:
            return [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise RunError(
                f"Metrics '{self.path / 'metrics.jsonl'}' are damaged ({error}): mend or delete them"
            ) from None

    def forget_after(self, step: int) -> None:
        """Drop what the metrics say of steps after ``step``: a resumed run goes through them again."""
        kept = [record for record in self.metrics() if record.get("step", 0) <= step]
        self.write("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept).encode())


def _check_links(folder: Path) -> None:
    """Refuse a directory, perhaps from elsewhere, whose links would have us write outside of it."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise RunError(f"'{path}' is a link that leads out of its run directory: replace it by what it leads to")
