"""Whole link of the gateware, behind its mailboxes, against the device of ``docs/link.md`` on plain memory.

Both get the same frames: good ones and malformed ones, repeated, early and damaged ones. They must answer alike.
"""

import random
import socket
from dataclasses import replace

import pytest

from equipoise.drivers.framing import Decoder, Frame, encode_frame
from equipoise.sim.board import SimulatedBoard
from equipoise.sim.build import BoardBuild, build_board
from equipoise.substrate.protocol import (
    MAX_PAYLOAD,
    READ_REQUEST,
    REGISTERS,
    SPACES,
    WRITE_REQUEST,
    Access,
    Hello,
    Operation,
    Status,
)

from ..conftest import SMALL
from ..drivers.peer import MemoryDevice

NONCE = b"once"
WRITABLE = [name for name, space in SPACES.items() if space.access is Access.READ_WRITE]
LAST = max(space.code for space in SPACES.values())
STABLE = sum(register.access is Access.READ_WRITE for register in REGISTERS)
"""Registers that only the host changes; they come first."""


def rows(source: random.Random, name: str, most: int) -> tuple[int, int]:
    """First row and number of rows, mostly within the space."""
    depth = STABLE if name == "registers" else SPACES[name].rows(SMALL)
    count = source.randrange(min(most, depth) + 1)
    return source.randrange(depth - count + 1), count


def read(source: random.Random) -> bytes:
    name = source.choice(list(SPACES))
    row, count = rows(source, name, 20)
    if source.random() < 0.1 and name != "registers":
        row = SPACES[name].rows(SMALL) - count + 1  # one too far
    code = SPACES[name].code if source.random() < 0.95 else source.randrange(LAST + 1, 256)
    payload = READ_REQUEST.pack(code, row, count)
    return payload if source.random() < 0.9 else payload + b"\0"


def write(source: random.Random) -> bytes:
    name = source.choice(WRITABLE if source.random() < 0.9 else list(SPACES))
    row_bytes = SPACES[name].row_bytes(SMALL)
    row, count = rows(source, name, (MAX_PAYLOAD - WRITE_REQUEST.size) // row_bytes)
    data = source.randbytes(count * row_bytes)
    if name == "registers":  # a compact device also keeps bits that a register does not have
        widths = [register.width for register in REGISTERS[row : row + count]]
        data = b"".join((source.getrandbits(width)).to_bytes(4, "little") for width in widths)
    match source.randrange(12):
        case 0:
            data = data[: source.randrange(len(data) + 1)]
        case 1:
            row = SPACES[name].rows(SMALL)
    payload = WRITE_REQUEST.pack(SPACES[name].code, row) + data
    return payload if source.random() < 0.95 else payload[:2]


def request(source: random.Random) -> tuple[int, bytes]:
    match source.randrange(10):
        case 0:
            return Operation.ECHO, source.randbytes(source.choice([0, 1, 254, MAX_PAYLOAD]))
        case 1:
            return source.choice([(Operation.RUN, b"?"), (9, b""), (Operation.HELLO, NONCE), (Operation.HELLO, b"bad")])
        case 2 | 3 | 4 | 5:
            return Operation.READ, read(source)
        case _:
            return Operation.WRITE, write(source)


def conversation(seed: int, count: int) -> list[bytes]:
    """Frames on the wire, most of them in order."""
    source = random.Random(seed)
    sequence = source.randrange(2**16)
    wire = [encode_frame(Operation.ECHO, 0, b"nobody is there"), encode_frame(Operation.HELLO, sequence, NONCE)]
    for _ in range(count):
        operation, payload = request(source)
        offset = source.choice([1] * 12 + [0, -3, 2, 30000, -30000])
        version = source.choice([1] * 20 + [0, 2])
        frame = encode_frame(operation, (sequence + offset) % 2**16, payload, version=version)
        if source.random() < 0.05:
            place = source.randrange(len(frame) - 1)
            frame = frame[:place] + bytes([frame[place] ^ 0x10]) + frame[place + 1 :]
        elif offset == 1 and version == 1 and operation != Operation.HELLO:
            sequence = (sequence + 1) % 2**16
        wire.append(frame)
    return wire


def answers(connection: socket.socket, wire: list[bytes], count: int) -> list[Frame]:
    """The board's answers, sent as fast as it takes the frames."""
    decoder, found = Decoder(), []
    connection.settimeout(60)
    for begin in range(0, len(wire), 20):  # what 20 frames can make it say fits into the socket's buffer
        connection.sendall(b"".join(wire[begin : begin + 20]))
    while len(found) < count:
        found += decoder.feed(connection.recv(1 << 16))
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 0)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_answers_are_those_of_the_page(board_build, seed) -> None:
    check(board_build, seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_compact_device_answers_alike(seed) -> None:
    check(build_board(replace(SMALL, compact=1)), seed)


def check(build: BoardBuild, seed: int) -> None:
    """Tell a board and the page's device the same, and compare what they answer."""
    wire, geometry = conversation(seed, 200), build.geometry
    with SimulatedBoard(build) as board:
        board.connection.sendall(encode_frame(Operation.HELLO, 7, b"look"))
        greeting = Decoder().feed(board.connection.recv(4096))[0].payload
        hello = Hello.unpack(greeting)
        assert hello.geometry == geometry
        peer = MemoryDevice(geometry, buffer=hello.buffer)
        peer.greeting = greeting
        peer.take(encode_frame(Operation.HELLO, 7, b"look"))
        expected = Decoder().feed(b"".join(peer.take(frame) for frame in wire))
        found = answers(board.connection, wire, len(expected))
    for theirs, ours in zip(found, expected, strict=True):
        assert theirs == ours
    assert {frame.status for frame in expected} >= {Status.OK, Status.BAD_ADDRESS, Status.BAD_LENGTH}
