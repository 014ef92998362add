"""A device behind a TCP port: a served simulation, or a board on another machine."""

from __future__ import annotations

import socket

from ..substrate.errors import DeviceError
from .socket import SocketTransport

__all__ = ["CONNECT_TIMEOUT", "connect_tcp"]

CONNECT_TIMEOUT = 5.0
"""Seconds in which a peer must accept the connection."""


def connect_tcp(host: str, port: int) -> SocketTransport:
    """Connect to ``host``:``port``.

    Raises
    ------
    DeviceError
        If nobody accepts the connection within ``CONNECT_TIMEOUT``.
    """
    description = f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"
    try:
        connection = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT)
    except OSError as error:
        raise DeviceError(
            f"{description} cannot be reached ({error.strerror or error}): check host and port, and that it is served"
        ) from error
    # A burst ends with small frames; Nagle's algorithm would hold them back for a round trip.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketTransport(connection, description)
