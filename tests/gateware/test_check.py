"""CHECK tells the CRC of what READ would answer; a RUN ends after the cycles it is allowed, whatever tables say."""

import time
import zlib

import numpy as np
import pytest

from equipoise.drivers.framing import Decoder, Frame, encode_frame
from equipoise.drivers.requests import encode_words, join_words, read_requests, write_requests
from equipoise.sim.board import SimulatedBoard
from equipoise.substrate.protocol import READ_REQUEST, REGISTERS, SPACES, Operation, Status, table_masks

from ..conftest import SMALL

ROW = {register.name: row for row, register in enumerate(REGISTERS)}
LONG = 120.0


class Talk:
    """Requests in turn, by their frames."""

    def __init__(self, board: SimulatedBoard) -> None:
        self._board, self._decoder, self._sequence = board, Decoder(), 0
        board.connection.settimeout(LONG)
        assert self(Operation.HELLO, b"once").status == Status.OK

    def __call__(self, operation: int, payload: bytes = b"") -> Frame:
        self._board.connection.sendall(encode_frame(operation, self._sequence, payload))
        self._sequence += 1
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            for frame in self._decoder.feed(self._board.connection.recv(1 << 16)):
                return frame
        raise TimeoutError

    def write(self, space: str, row: int, words) -> None:
        for request in write_requests(space, row, words, SMALL):
            assert self(request.operation, request.payload).status == Status.OK

    def read(self, space: str, row: int, count: int) -> bytes:
        return b"".join(self(r.operation, r.payload).payload for r in read_requests(space, row, count, SMALL))

    def check(self, space: str, row: int, count: int) -> Frame:
        return self(Operation.CHECK, READ_REQUEST.pack(SPACES[space].code, row, count))


@pytest.fixture
def talk(board_build):
    with SimulatedBoard(board_build) as board:
        yield Talk(board)


def test_a_checksum_is_that_of_what_is_read(talk):
    rng = np.random.default_rng(0)
    for space, wide in (("weights", 2**15), ("gains", 2**15), ("biases", 2**15), ("sites", 2**31)):
        kind = SPACES[space]
        rows, words = min(kind.rows(SMALL), 200), kind.words(SMALL)
        shape = (rows, words) if words > 1 else rows
        low = 0 if space == "sites" else -wide
        talk.write(space, 0, rng.integers(low, wide, shape))
        for row, count in ((0, 1), (3, 7), (0, rows), (rows - 1, 1), (5, 0)):
            answer = talk.check(space, row, count)
            assert answer.status == Status.OK
            wanted = zlib.crc32(talk.read(space, row, count) if count else b"")
            assert int.from_bytes(answer.payload, "little") == wanted, (space, row, count)


@pytest.mark.parametrize("space", ["weights", "gains", "biases", "sites", "modules", "ends", "schedule", "samples"])
def test_what_is_written_is_read(talk, space):
    """Rows one after another: each word is that of its own row, however many reads are on their way."""
    kind, rng = SPACES[space], np.random.default_rng(1)
    rows, words = min(kind.rows(SMALL), 100), kind.words(SMALL)
    masks = np.array(table_masks(SMALL).get(space, [2**32 - 1] * words), np.uint32)
    written = rng.integers(0, 2 ** (8 * kind.size), (rows, words), np.uint32) & masks
    answered = join_words(space, [encode_words(space, written)], SMALL)
    talk.write(space, 0, answered)
    assert talk.read(space, 0, rows) == encode_words(space, answered)


def test_rows_that_are_not_there_have_no_checksum(talk):
    assert talk.check("weights", SPACES["weights"].rows(SMALL), 1).status == Status.BAD_ADDRESS
    assert talk(Operation.CHECK, b"\0").status == Status.BAD_LENGTH


@pytest.mark.parametrize("levels", [0, 127])
def test_a_run_of_no_network_is_given_up(talk, levels):
    """No number of levels, or too many: clearing the sums would never come to the last."""
    talk.write("registers", ROW["limit"], [5000])
    talk.write("registers", ROW["levels"], [levels])
    talk.write("registers", ROW["mode"], [2])
    assert talk(Operation.RUN).status == Status.ABANDONED
    (cycles,) = np.frombuffer(talk.read("registers", ROW["cycles"], 1), "<u4")
    assert 5000 <= cycles <= 5003
    assert talk(Operation.RUN).status == Status.ABANDONED
