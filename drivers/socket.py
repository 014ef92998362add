"""A transport over a connected socket: TCP, a Unix socket, one half of a socket pair."""

from __future__ import annotations

import socket
import time

from ..substrate.errors import LinkError
from .transport import SEND_TIMEOUT, Transport

__all__ = ["SocketTransport"]


class SocketTransport(Transport):
    """A transport over ``connection``, which it owns from here on.

    Parameters
    ----------
    connection
        A connected stream socket.
    description
        The address that errors name.
    """

    def __init__(self, connection: socket.socket, description: str) -> None:
        self.description = description
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._connection.settimeout(SEND_TIMEOUT)
            self._connection.sendall(data)
        except TimeoutError as error:
            raise LinkError(
                f"{self.description} took no bytes for {SEND_TIMEOUT:g} s: check that it runs, then open it again"
            ) from error
        except OSError as error:
            raise self._gone(error) from error

    def receive(self, deadline: float) -> bytes:
        """Return what has arrived by ``deadline``."""
        try:
            self._connection.settimeout(max(0.0, deadline - time.monotonic()))
            data = self._connection.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone("end of stream")
        return data

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _gone(self, why: object) -> LinkError:
        return LinkError(f"{self.description} closed the connection ({why}): check that it runs, then open it again")
