"""Who may use a served board: one client at a time, and from other machines only with the token.

A client that knows the token sends it first, as the line ``EQUIPOISE token``; it is no frame, so that a board which is
not asked for one takes it for noise. Who is turned away is told why, in an answer to its first request.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import socket
import threading
import time

from ..drivers.framing import Decoder, encode_frame
from ..drivers.tcp import TOKEN_LINE
from ..substrate.protocol import MAX_PAYLOAD, Status

__all__ = ["is_loopback", "present_token", "turn_away"]

PATIENCE = 2.0
"""Seconds in which a client must have sent its token, or the request that it is turned away with."""

_LONGEST = 256
"""Bytes of a line with a token."""


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: whatever it means, it is not surely this machine alone


def present_token(client: socket.socket, token: str) -> bytes | None:
    """Wait for the client's token; returns what came behind it, or None if it was wrong, late or missing."""
    wanted, received = TOKEN_LINE % token.encode(), b""
    deadline = time.monotonic() + PATIENCE
    while b"\n" not in received:
        data = _receive(client, deadline)
        if not data or len(received) + len(data) > _LONGEST + MAX_PAYLOAD:
            return None
        received += data
    line, _, rest = received.partition(b"\n")
    return rest if hmac.compare_digest(line + b"\n", wanted) else None


def turn_away(client: socket.socket, reason: str) -> None:
    """Answer the client's first request with ``reason``, and close the connection; does not wait for it."""
    threading.Thread(target=_refuse, args=(client, reason), daemon=True).start()


def _refuse(client: socket.socket, reason: str) -> None:
    decoder, deadline = Decoder(MAX_PAYLOAD), time.monotonic() + PATIENCE
    with client, contextlib.suppress(OSError):
        while data := _receive(client, deadline):
            for frame in decoder.feed(data):
                client.sendall(encode_frame(frame.operation, frame.sequence, reason.encode(), status=Status.REFUSED))
                return


def _receive(client: socket.socket, deadline: float) -> bytes:
    try:
        client.settimeout(max(1e-3, deadline - time.monotonic()))
        return client.recv(_LONGEST)
    except OSError:
        return b""
