"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["lock_file", "locked", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``: after a crash at any instant the file is the old one or the new one.

    The data goes to a temporary file of the same folder, is forced to the disk, and then takes the name of ``path``;
    the folder is forced to the disk last, so that the new name survives a loss of power too.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written, or the disk is full. The old file is then untouched.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def lock_file(file: IO[Any]) -> None:
    """Lock an open file for this process, until it is closed or the process ends.

    Raises
    ------
    BlockingIOError
        If another process, or another open file of this one, has it.
    """
    import fcntl  # noqa: PLC0415 (not on Windows, where the host must still import)

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for a lock, and hold it; the system lets go of it when this process ends, however it ends."""
    import fcntl  # noqa: PLC0415 (not on Windows, where the host must still import)

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _umask() -> int:
    """The process's umask, which mkstemp ignores; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
