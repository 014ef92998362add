"""The cocotb bench inside the simulated board: moves bytes between a socket and the board's mailboxes.

It runs in the simulator's process (see ``board.cpp``) and is woken a few times in a transfer, never for each byte or
cycle. While the device has nothing to do it waits on the socket, and simulated time stands still. The test ends,
and the process with it, when the host closes its end of the socket or dies.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from .handover import READY, SOCKET_VARIABLE

__all__ = ["serve"]

_BACKLOG = 1 << 16
"""Bytes kept each way beyond what sockets hold: a host that reads no more stops the board, and then is read no more."""


class _Host:
    """The host's end, without ever blocking on one direction alone.

    Attributes
    ----------
    received
        Bytes from the host that the board has not taken yet.
    gone
        Whether the host has closed its end or died.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._poll = select.poll()  # not select(), which takes no file numbers above 1023
        self._poll.register(connection)
        self._unsent = bytearray()
        self.received = bytearray()
        self.gone = False

    def send(self, data: bytes) -> None:
        """Send, or keep for later what the host does not take now."""
        self._unsent += data

    def exchange(self, *, wait: bool) -> None:
        """Send and receive what is possible now; with ``wait``, first sleep until there is something to receive."""
        while not self.gone:
            self._flush()
            stalled = len(self._unsent) > _BACKLOG
            block = stalled or (wait and not self.received)
            events = select.POLLIN if len(self.received) < _BACKLOG else 0
            self._poll.modify(self._connection, events | (select.POLLOUT if self._unsent else 0))
            for _, event in self._poll.poll(None if block else 0):
                if event & select.POLLIN:
                    self._receive()
                elif event & ~select.POLLOUT:
                    self.gone = True
            if not block:
                return

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def _receive(self) -> None:
        try:
            data = self._connection.recv(1 << 16)
        except OSError:
            data = b""
        self.received += data
        self.gone |= not data


class _Mailboxes:
    """The board's two mailboxes, see ``board.v``.

    Attributes
    ----------
    capacity
        Bytes of each.
    """

    def __init__(self, board: Any) -> None:
        self._board = board
        self._turn = 0
        self.capacity = len(board.inbox) // 8

    @property
    def exhausted(self) -> bool:
        """Whether the board has taken all of the inbox."""
        return bool(self._board.exhausted.value)

    @property
    def idle(self) -> bool:
        """Whether the device has nothing to do."""
        return bool(self._board.idle.value)

    def collect(self) -> bytes:
        """Bytes in the outbox."""
        count = int(self._board.outbox_count.value)
        if not count:
            return b""
        outbox: bytes = self._board.outbox.value.to_bytes(byteorder="little")
        return outbox[:count]

    def refill(self, data: bytes) -> None:
        """Put at most ``capacity`` bytes into the exhausted inbox."""
        self._board.inbox.value = int.from_bytes(data, "little")
        self._board.inbox_count.value = len(data)

    def end_visit(self, *, refilled: bool, more: bool) -> None:
        """Let the board go on; it asks for the next bytes if there are ``more``."""
        self._turn ^= 1
        self._board.refill.value = refilled
        self._board.more.value = more
        self._board.turn.value = self._turn


@cocotb.test()
async def serve(dut: Any) -> None:
    """Serve the host until it goes away."""
    with socket.socket(fileno=int(os.environ[SOCKET_VARIABLE])) as connection:
        connection.sendall(READY)
        host, mailboxes = _Host(connection), _Mailboxes(dut)
        while True:
            await RisingEdge(dut.attention)
            host.send(mailboxes.collect())
            host.exchange(wait=mailboxes.idle)
            if host.gone:
                return
            data = bytes(host.received[: mailboxes.capacity]) if mailboxes.exhausted else b""
            if data:
                mailboxes.refill(data)
                del host.received[: len(data)]
            mailboxes.end_visit(refilled=bool(data), more=bool(host.received))
