"""Serves a simulated board to other programs and machines, over TCP or as a pseudo-terminal.

What goes over the wire are the bytes of the device, as on a serial cable, so that the drivers for ``tcp:`` and
``serial:`` use it as they use a board.
"""

from __future__ import annotations

import os
import select
import socket
import tty
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..drivers.tcp import TOKEN_VARIABLE
from ..substrate.errors import DeviceError
from .board import SimulatedBoard
from .door import is_loopback, present_token, turn_away

__all__ = ["serve_pty", "serve_tcp"]

_CHUNK = 1 << 16
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)  # Linux tells of it before all is read
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


def serve_tcp(
    board: SimulatedBoard,
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Callable[[str], None] = print,
    token: str | None = None,
) -> None:
    """Serve ``board`` on TCP until interrupted, to one client at a time: a second one is told who uses it.

    Parameters
    ----------
    board
        What to serve.
    host, port
        Where to listen; port 0 takes a free one.
    announce
        Called with the address to be used, such as ``tcp:127.0.0.1:40123``, when clients can connect.
    token
        What clients must present; needed where other machines can reach the port.

    Raises
    ------
    DeviceError
        If the port cannot be listened on, a token is needed, or the simulator stops.
    """
    if token is None and not is_loopback(host):
        raise DeviceError(f"tcp:{host}:{port} can be reached from other machines: serve it with a token")
    try:
        listener = socket.create_server((host, port), backlog=1)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # without Python's "(while attempting to ...)"
        raise DeviceError(f"tcp:{host}:{port} cannot be served ({reason}): choose another") from error
    with listener:
        announce("tcp:{}:{}".format(*listener.getsockname()[:2]))
        while True:
            client, peer = _accept(listener, board)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = b"" if token is None else present_token(client, token)
            if begun is None:
                turn_away(client, f"it asks for a token, and got none or a wrong one: set {TOKEN_VARIABLE}")
                continue
            user = "in use by {} since {:%H:%M:%S}".format("{}:{}".format(*peer[:2]), datetime.now())
            with client:
                _Relay(board, client.fileno(), listener, begun, user).run()


def serve_pty(board: SimulatedBoard, announce: Callable[[str], None] = print) -> None:
    """Serve ``board`` as a pseudo-terminal until interrupted.

    Parameters
    ----------
    board
        What to serve.
    announce
        Called with the address to be used, such as ``serial:/dev/pts/3``.

    Raises
    ------
    DeviceError
        If the simulator stops.
    """
    ours, theirs = os.openpty()
    try:
        tty.setraw(theirs)
        announce(f"serial:{os.ttyname(theirs)}")
        _Relay(board, ours).run()  # `theirs` stays open, so that the terminal outlives its users
    finally:
        os.close(ours)
        os.close(theirs)


def _accept(listener: socket.socket, board: SimulatedBoard) -> tuple[socket.socket, tuple[Any, ...]]:
    """Wait for a client. What the device still says to the last one is nobody's, and dropped."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(board.connection, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if board.connection.fileno() in ready and not board.connection.recv(_CHUNK):
            raise board.failure()
        if listener.fileno() in ready:
            return listener.accept()


class _Relay:
    """Carries bytes between ``board`` and a client, both ways, until the client goes.

    Where one side takes no more, nothing more is read from the other.

    Parameters
    ----------
    client
        File number of the client's socket or pseudo-terminal.
    listener
        Socket at which further clients are turned away meanwhile.
    begun
        What the client has said already.
    user
        Who it is, which those who are turned away are told.
    """

    def __init__(
        self,
        board: SimulatedBoard,
        client: int,
        listener: socket.socket | None = None,
        begun: bytes = b"",
        user: str = "",
    ) -> None:
        self._board = board
        self._client = client
        self._listener = listener
        self._user = user
        self._to_client = b""
        self._to_board = begun
        os.set_blocking(client, False)

    def run(self) -> None:
        """Carry bytes until the client goes.

        Raises
        ------
        DeviceError
            If the simulator stops.
        """
        board = self._board.connection.fileno()
        poll = select.poll()
        if self._listener is not None:
            poll.register(self._listener, select.POLLIN)
        while True:
            poll.register(board, _interest(self._to_client, self._to_board))
            poll.register(self._client, _interest(self._to_board, self._to_client))
            ready = dict(poll.poll())
            if self._listener is not None and self._listener.fileno() in ready:
                if self._client_has_hung_up():
                    return
                turn_away(self._listener.accept()[0], self._user)
            self._serve_board(ready.get(board, 0))
            if not self._serve_client(ready.get(self._client, 0)):
                return

    def _client_has_hung_up(self) -> bool:
        """Whether the client is gone, even if not all that it said has been read."""
        poll = select.poll()
        poll.register(self._client, _HUNG_UP)
        return bool(poll.poll(0))

    def _serve_client(self, events: int) -> bool:
        """Write to and read from the client; whether it is still there."""
        try:
            if events & select.POLLOUT:
                self._to_client = self._to_client[os.write(self._client, self._to_client) :]
            if events & select.POLLIN:
                self._to_board = os.read(self._client, _CHUNK)
                return bool(self._to_board)
        except OSError:
            return False
        return not events & _GONE

    def _serve_board(self, events: int) -> None:
        """Write to and read from the board."""
        board = self._board.connection
        try:
            if events & select.POLLOUT:
                self._to_board = self._to_board[board.send(self._to_board) :]
            if events & select.POLLIN:
                self._to_client = board.recv(_CHUNK)
        except OSError as error:
            raise self._board.failure() from error
        if events & _GONE and not self._to_client:
            raise self._board.failure()


def _interest(unsent: bytes, pending: bytes) -> int:
    """Events to wait for at one side: what it says, unless its last words are still on their way; room for its mail."""
    return (0 if unsent else select.POLLIN) | (select.POLLOUT if pending else 0)
