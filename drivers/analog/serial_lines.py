"""A wire of plain lines over a serial port: for boards whose controller prints to USB, with no VISA about it."""

from __future__ import annotations

import time

from ...substrate.errors import LinkError
from ..serial import SerialTransport
from .instrument import TimedOut, Wire

__all__ = ["SerialLines"]

LONGEST = 1 << 20
"""Bytes without a terminator after which what comes is taken for noise."""


class SerialLines(Wire):
    """Lines over a serial port.

    Parameters
    ----------
    port, baud
        As those of :class:`~..serial.SerialTransport`.
    terminator
        End of a line, both ways.

    Raises
    ------
    DeviceError
        If the port cannot be opened.
    """

    def __init__(self, port: str, baud: int, terminator: str) -> None:
        self._port = SerialTransport(port, baud)
        self.description = self._port.description
        self._end = terminator.encode()
        self._pending = b""

    def send(self, message: str) -> None:
        """Send one message."""
        self._port.send(message.encode() + self._end)

    def receive(self, seconds: float) -> str:
        """The next line."""
        deadline = time.monotonic() + seconds
        while self._end not in self._pending:
            data = self._port.receive(deadline)
            self._pending += data
            if len(self._pending) > LONGEST:
                self._pending = b""
                raise LinkError(f"{self.description} sends bytes without an end: check the baud rate")
            if not data and time.monotonic() >= deadline:
                part, self._pending = self._pending, b""
                raise TimedOut(part.decode(errors="replace"))
        line, _, self._pending = self._pending.partition(self._end)
        try:
            return line.decode().strip("\r\n")
        except UnicodeDecodeError:
            raise LinkError(f"{self.description} sends what is not text ({line[:16]!r}): check the baud rate") from None

    def close(self) -> None:
        """Close the port."""
        self._port.close()
