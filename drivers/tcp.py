"""A device behind a TCP port: a served simulation, or a board on another machine."""

from __future__ import annotations

import os
import socket

from ..substrate.errors import DeviceError
from .socket import SocketTransport

__all__ = ["CONNECT_TIMEOUT", "TOKEN_LINE", "TOKEN_VARIABLE", "connect_tcp"]

CONNECT_TIMEOUT = 5.0
"""Seconds in which a peer must accept the connection."""

TOKEN_LINE = b"EQUIPOISE %s\n"
"""What a client sends first to a served board that asks for a token."""

TOKEN_VARIABLE = "EQUIPOISE_TOKEN"
"""Environment variable with the token: not part of addresses, which runs record and process lists show."""


def connect_tcp(host: str, port: int) -> SocketTransport:
    """Connect to ``host``:``port``, and present the token that is in the environment, if one is.

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
    transport = SocketTransport(connection, description)
    if token := os.environ.get(TOKEN_VARIABLE):
        transport.send(TOKEN_LINE % token.encode())
    return transport
