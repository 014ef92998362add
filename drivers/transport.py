"""The byte stream under a session: what a serial port, a TCP connection and a simulated board have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..substrate.errors import DeviceError

__all__ = ["SEND_TIMEOUT", "Transport"]

SEND_TIMEOUT = 10.0
"""Seconds after which a peer that takes no bytes counts as dead. A device takes in a whole ``Hello.buffer`` even
while it is busy, so a wait of this length is no ordinary one."""


class Transport(ABC):
    """A blocking, ordered stream of bytes to and from a device. It may lose and damage bytes, never reorder them.

    Attributes
    ----------
    description
        The address that errors name, such as ``serial:/dev/ttyUSB1``.
    """

    description: str

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises
        ------
        LinkError
            If the peer is gone, or takes nothing for ``SEND_TIMEOUT``.
        """

    @abstractmethod
    def receive(self, deadline: float) -> bytes:
        """Return what has arrived, waiting for the first byte until ``deadline``.

        Parameters
        ----------
        deadline
            An instant of :func:`time.monotonic`. One in the past asks for what is there already.

        Returns
        -------
        bytes
            At least one byte, or none at the deadline.

        Raises
        ------
        LinkError
            If the peer is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the peer. May be called twice."""

    def reset(self) -> None:
        """Reset the device, as its power switch does, for tests of what is above the wire.

        Raises
        ------
        DeviceError
            If that cannot be done from here.
        """
        raise DeviceError(f"{self.description} cannot be reset from here: do it by hand")
