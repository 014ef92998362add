"""The simulated board as a process: the bytes it carries, and its end, whatever way its host ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from equipoise.drivers.framing import Decoder, encode_frame
from equipoise.drivers.requests import Request
from equipoise.drivers.session import Session
from equipoise.sim import board as boards
from equipoise.sim.board import BoardTransport, SimulatedBoard
from equipoise.sim.build import BOARD_ID, CLOCK, build_board, digest
from equipoise.substrate.errors import DeviceError, ResetError
from equipoise.substrate.protocol import MAX_PAYLOAD, Operation

from ..conftest import SMALL
from .processes import DEADLINE, script, watching

HOST = f"""
import numpy as np
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.sim import board as boards
from equipoise.sim.board import BoardTransport, SimulatedBoard
from equipoise.sim.build import build_board
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch, Schedule

build = build_board({SMALL!r})
"""

IDLE = "board = SimulatedBoard(build)\nprint(board.pid, flush=True)\n"

CAREFUL = """
board = SimulatedBoard(build)
try:
    print(board.pid, flush=True)
    input()
except KeyboardInterrupt:
    print(Session(BoardTransport(board)).hello.clock)
"""

RUNNING = """
board = SimulatedBoard(build)
device = GatewareDevice(Session(BoardTransport(board)))
network = Network((Module("in", 8, clamped=True), Module("out", 8)), (Coupling("in", "out", 2),), "out")
device.configure(network)
device.write(Parameters.zeros(network))
print(board.pid, flush=True)
device.run(Minibatch(np.zeros((100, 8)), np.zeros(100, int), np.zeros((100, 8))), Schedule(65535, 65535))
"""


@pytest.fixture
def board(board_build) -> Iterator[SimulatedBoard]:
    with SimulatedBoard(board_build) as board:
        yield board


@pytest.fixture
def session(board) -> Session:
    return Session(BoardTransport(board))


def echo(size: int, rng: np.random.Generator) -> Request:
    return Request(Operation.ECHO, rng.bytes(size), f"ECHO of {size} bytes", expects=size)


def test_hello_tells_what_was_built(session):
    hello = session.hello
    assert (hello.geometry, hello.clock, hello.board) == (SMALL, CLOCK, BOARD_ID)
    assert hello.build == digest(SMALL)[:8]


def test_bytes_come_back_as_they_went(session):
    rng = np.random.default_rng(1)
    requests = [echo(int(size), rng) for size in [0, 1, MAX_PAYLOAD, *rng.integers(0, MAX_PAYLOAD + 1, 60)]]
    for burst in (requests, *([request] for request in requests[:5])):  # many mailboxes full, then one by one
        answers = session.burst(burst)
        assert [answer.payload for answer in answers] == [request.payload for request in burst]
    assert session.counters["retries"] == 0


def test_a_host_may_be_slow_to_read(board):
    """Many times what the sockets hold: the board waits, and loses nothing."""
    hello = encode_frame(Operation.HELLO, 0, b"once")
    stream, sent, answers, decoder = memoryview(hello * 100_000), 0, 0, Decoder()
    board.connection.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            sent += board.connection.send(stream[sent : sent + (1 << 16)])
    assert sent < len(stream)
    board.connection.settimeout(DEADLINE)
    while answers < sent // len(hello):
        answers += len(decoder.feed(board.connection.recv(1 << 16)))
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 0)


def test_two_boards_are_two_devices(board_build):
    with SimulatedBoard(board_build) as one, SimulatedBoard(board_build) as other:
        first, second = Session(BoardTransport(one)), Session(BoardTransport(other))
        first.write("registers", 0, [3])
        assert (first.read("registers")[0], second.read("registers")[0]) == (3, 0)


def test_time_stands_still_while_there_is_nothing_to_do(board, session):
    session.burst([echo(10, np.random.default_rng(0))])
    with watching(board.pid) as watch:
        watch.wait_for_rest()


def test_the_board_is_gone_after_close(board_build):
    board = SimulatedBoard(board_build)
    with watching(board.pid) as watch:
        assert board.running
        board.close()
        assert watch.ended(0)
    board.close()


def test_the_board_is_gone_after_an_exception(board_build):
    with contextlib.suppress(ZeroDivisionError), SimulatedBoard(board_build) as board:
        _ = 1 / 0
    assert not board.running


@pytest.mark.parametrize(
    "end", ["", "raise KeyboardInterrupt", "import os; os._exit(1)", "import os; os.abort()"], ids=lambda end: end[:24]
)
def test_the_board_is_gone_when_its_host_ends(end, board_build):
    with script(f"{HOST}{IDLE}input()\n{end}") as host, watching(int(host.stdout.readline())) as watch:
        host.stdin.write("\n")
        host.stdin.flush()
        assert watch.ended()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_board_is_gone_when_its_host_is_killed_in_a_run(kind, board_build):
    with script(HOST + RUNNING) as host, watching(int(host.stdout.readline())) as watch:
        watch.wait_for_work()
        host.send_signal(kind)
        assert watch.ended()


def test_ctrl_c_in_a_terminal_reaches_the_host_alone(board_build):
    """The terminal sends it to the whole process group; the host here catches it, and still has its board."""
    with script(HOST + CAREFUL) as host:
        host.stdout.readline()
        os.killpg(host.pid, signal.SIGINT)
        assert host.stdout.read() == f"{CLOCK}\n"


def test_a_simulator_that_dies_is_reported(board, session):
    with watching(board.pid) as watch:
        os.kill(board.pid, signal.SIGKILL)
        assert watch.ended()
    with pytest.raises(DeviceError) as error:
        session.read("registers")
    assert str(error.value) == "sim: stopped with exit code -9: it wrote nothing to its log"


def test_a_simulator_that_does_not_start_is_reported_with_its_last_words(board_build, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(boards, "find_libpython", lambda: "/nowhere/libpython.so")
    with pytest.raises(DeviceError) as error:
        SimulatedBoard(board_build)
    (log,) = tmp_path.glob("equipoise-board-*.log")
    message = re.fullmatch(rf"sim: stopped with exit code \d+: (.*) \(see {log}\)", str(error.value))
    assert message and message[1] in log.read_text()


def test_waveforms_are_written(tmp_path):
    trace = tmp_path / "board.vcd"
    build = build_board(replace(SMALL, lanes=1, contexts=1), trace=True)
    with SimulatedBoard(build, trace=trace) as board:
        Session(BoardTransport(board))
    text = trace.read_text()
    assert "$enddefinitions" in text
    assert re.search(r"\$var wire +8 \S+ rx__payload", text)
    assert text.count("\n#") > 1000


def test_a_trace_file_that_cannot_be_written_is_named(board_build, tmp_path):
    trace = tmp_path / "missing" / "board.vcd"
    with pytest.raises(DeviceError) as error:
        SimulatedBoard(board_build, trace=trace)
    assert str(error.value) == f"Trace file {trace} cannot be written (No such file or directory): choose another"


def test_a_reset_is_a_power_cycle_of_the_same_board(board_build):
    board = SimulatedBoard(board_build)
    transport = BoardTransport(board)
    session = Session(transport)
    pid = board.pid
    transport.reset()
    assert board.running and board.pid != pid
    with pytest.raises(ResetError, match=r"^sim: was reset before WRITE of biases, row 5"):
        session.write("biases", 5, [1])


def test_waveforms_are_not_thrown_away_by_a_reset():
    with pytest.raises(
        DeviceError, match=r"^sim: would lose its waveforms at a reset: leave out 'trace' or the fault$"
    ):
        BoardTransport(SimpleNamespace(connection=None, traced=True)).reset()
