"""A serial line to a simulated board: every byte goes over it as the levels of start, data and stop bits.

The host's baud rate is the one that its driver has set at the pseudo-terminal; the board's is fixed. Each end samples
the other's levels by its own clock, so that a wrong rate garbles bytes as it does on a real line.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import tty
from collections.abc import Iterator

from equipoise.sim.board import SimulatedBoard

_SPEEDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdecimal()}


def transfer(data: bytes, sender: int, receiver: int) -> bytes:
    """What a receiver at one baud rate makes of bytes sent at another, one after the other."""
    levels = [level for byte in data for level in (0, *(byte >> bit & 1 for bit in range(8)), 1)]

    def level(time: float) -> int:
        place = int(time * sender)
        return levels[place] if place < len(levels) else 1  # the line is high when nobody sends

    received, time, end = bytearray(), 0.0, len(levels) / sender
    while time < end:
        if level(time):
            # To the next edge: those of the sender's clock are all there are.
            time = (int(time * sender + 1e-9) + 1 + 1e-9) / sender
            continue
        bits = [level(time + (1.5 + bit) / receiver) for bit in range(9)]
        middle_of_start, stop = level(time + 0.5 / receiver), bits.pop()
        if middle_of_start == 0 and stop == 1:
            received.append(sum(bit << place for place, bit in enumerate(bits)))
        time += 9.5 / receiver
    return bytes(received)


@contextlib.contextmanager
def serial_line(board: SimulatedBoard, baud: int) -> Iterator[str]:
    """A line to ``board``, which runs at ``baud``; gives the path of the host's serial port."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    stop_read, stop_write = os.pipe()

    def work() -> None:
        poll = select.poll()
        for file in (ours, board.connection.fileno(), stop_read):
            poll.register(file, select.POLLIN)
        while True:
            ready = [file for file, _ in poll.poll()]
            if stop_read in ready:
                return
            host = _SPEEDS[termios.tcgetattr(theirs)[5]]
            if ours in ready:
                board.connection.sendall(transfer(os.read(ours, 1 << 12), host, baud))
            if board.connection.fileno() in ready:
                os.write(ours, transfer(board.connection.recv(1 << 12), baud, host))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.write(stop_write, b"\0")
        thread.join()
        for file in (ours, theirs, stop_read, stop_write):
            os.close(file)
