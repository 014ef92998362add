"""A device behind a serial port: a USB bridge, a UART, a pseudo-terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

import serial  # type: ignore[import-untyped]

from ..substrate.errors import DeviceError, LinkError
from .transport import SEND_TIMEOUT, Transport

__all__ = ["BAUD", "SerialTransport"]

BAUD = 3_000_000
"""Bits per second unless the address says otherwise."""

_SLICE = 0.05
"""Longest single wait in seconds: changing pyserial's timeout reconfigures the port, so one is kept and repeated."""


class SerialTransport(Transport):
    """A transport over a serial port, opened for this process alone, 8 bits, no parity, no flow control.

    Parameters
    ----------
    port
        A device path (``/dev/ttyUSB1``, ``COM3``) or a stable name (``by-id/...``, ``by-path/...``).
    baud
        Bits per second.

    Raises
    ------
    DeviceError
        If the port does not exist, is in use, may not be opened, or cannot run at ``baud``.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        self.description = f"serial:{port}"
        path = f"/dev/serial/{port}" if port.startswith(("by-id/", "by-path/")) else port
        try:
            self._port = serial.Serial(path, baud, timeout=_SLICE, write_timeout=SEND_TIMEOUT, exclusive=True)
            self._port.reset_input_buffer()
        except (OSError, ValueError) as error:  # SerialException is an OSError
            if getattr(error, "errno", None) == errno.EWOULDBLOCK:  # of the lock that pyserial takes
                raise DeviceError(
                    f"{self.description} is in use by {_user(path)}: stop that, or use another board"
                ) from error
            raise DeviceError(
                f"{self.description} cannot be opened at {baud} baud ({error}): check that the cable is in, that no "
                "other program uses the port, and that you may open it (on Linux: be in its group, often 'dialout')"
            ) from error
        # USB bridges otherwise hold back a short answer for 16 ms. Linux only, and not on a pseudo-terminal.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            self._port.set_low_latency_mode(True)

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkError(
                f"{self.description} took no bytes for {SEND_TIMEOUT:g} s: check the board's power, then open it again"
            ) from error
        except OSError as error:
            raise self._gone(error) from error

    def receive(self, deadline: float) -> bytes:
        """Return what has arrived by ``deadline``."""
        try:
            while True:
                if not self._port.in_waiting and time.monotonic() >= deadline:
                    return b""
                if first := self._port.read(1):
                    return bytes(first + self._port.read(self._port.in_waiting))
        except (OSError, TypeError) as error:  # pyserial reads from None once the port was closed
            raise self._gone(error) from error

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _gone(self, error: Exception) -> LinkError:
        return LinkError(f"{self.description} went away ({error}): check the cable, then open it again")


def _user(path: str) -> str:
    """Who has locked the port at ``path``, as far as this system tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        node = os.stat(path)
        place = f"{os.major(node.st_dev):02x}:{os.minor(node.st_dev):02x}:{node.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, _, process, where = line.split()[:6]
            if kind == "FLOCK" and where == place and int(process) > 0:
                return f"process {process} ({Path(f'/proc/{process}/comm').read_text().strip()})"
    return "another process"
