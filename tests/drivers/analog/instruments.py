"""Small instruments for tests: a thread on a loopback socket or a pseudo-terminal that answers as it is told to."""

import os
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

IDN = "Lab,Toy board,7,1.0"


@contextmanager
def served(answer: Callable[[str], bytes], kind: str = "tcp") -> Iterator[str]:
    """The VISA resource of an instrument that sends ``answer(message)`` to each line; b"" is nothing."""
    with _tcp(answer) if kind == "tcp" else _pty(answer) as resource:
        yield resource


@contextmanager
def _tcp(answer: Callable[[str], bytes]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            try:
                client, _ = listener.accept()
                with client, client.makefile("rb") as lines:
                    for line in lines:
                        client.sendall(answer(line.decode().rstrip("\r\n")))
            except OSError:
                return  # the test is over

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield f"TCPIP::127.0.0.1::{listener.getsockname()[1]}::SOCKET"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@contextmanager
def _pty(answer: Callable[[str], bytes]) -> Iterator[str]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)

    def work() -> None:
        pending = b""
        while b"\x04" not in pending:
            *lines, pending = (pending + os.read(ours, 4096)).split(b"\n")
            for line in lines:
                os.write(ours, answer(line.decode().rstrip("\r")))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield f"ASRL{os.ttyname(theirs)}::INSTR"
    os.write(theirs, b"\x04")  # the thread's sign to end
    thread.join(5)
    os.close(ours)
    os.close(theirs)


class Toy:
    """Answers a board of two neurons and one channel, and keeps what it was told.

    Parameters
    ----------
    answers
        Answers to single queries, in place of its own.
    join
        What answers of one message stand between.
    """

    def __init__(self, answers: dict[str, str] | None = None, join: str = ";") -> None:
        self.answers = {
            "*IDN?": IDN, "SETT?": "1", "READ?": "0.5,-0.25", "OVER?": "0,0", "TEMP?": "25.5", "SUPP?": "11.9",
            "ERR?": "0,\"No error\"",
        } | (answers or {})  # fmt: skip
        self.join = join
        self.messages: list[str] = []

    def __call__(self, message: str) -> bytes:
        self.messages.append(message)
        found = [self.answers[part] for part in message.split(";") if part in self.answers]
        return (self.join.join(found) + "\n").encode() if found else b""


TOY = """
[board]
idn = "Lab,Toy board,*"

[limits]
neurons = 2
channels = 1
weight = 2.0
gain = 2.0
bias = 2.0
nudge = 0.5
volts = 2.0
stiffness = 1.0
quartic = 1.0
lsb = 0.001
time_constant = 1e-3
references = [-1.0, 1.0]

[link]
timeout = 0.3

[settle]
wait = "answer"
limit = 0.3
interval = 0.001
tolerance = 0.01

[commands]
weights_a = "A {channel} {values}"
weights_b = "B {channel},{neuron} {value}"
clamped = "CL {values}"
output = "OUT {values}"
bias = "BIAS {values}"
clamp = "CLV {values}"
target = "TGT {values}"
drive_a = "DA {values}"
drive_b = "DB {values}"
nudge = "NU {value}"
averages = "AV {value}"
restart = "RST"
start = "GO"
settled = "SETT?"
read = "READ?"
overload = "OVER?"
temperature = "TEMP?"
supply = "SUPP?"
reference = "REF {value}?"
error = "ERR?"
"""
