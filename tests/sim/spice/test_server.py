"""The reference board: the served circuit, used as its profile says, over a socket and a terminal."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from equipoise.drivers.analog.board import Drive, Wiring
from equipoise.drivers.analog.scpi_board import open_serial_board, open_visa_board
from equipoise.sim.spice.board import SpiceBoard
from equipoise.substrate.errors import DeviceError, LinkError

N, K = 3, 2
COMMAND = Path(sys.executable).parent / "equipoise"


@pytest.fixture(scope="module", params=["tcp", "pty"])
def resource(request):
    """VISA resource of a served board."""
    command = [COMMAND, "serve-board", "--neurons", N, "--channels", K, "--mismatch", 0.03]
    command += ["--pty"] if request.param == "pty" else []
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip().removeprefix("visa:")
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["visa", "lines"])
def board(request, resource):
    if request.param == "lines":
        if not resource.startswith("ASRL"):
            pytest.skip("plain lines go over a serial port")
        with open_serial_board(resource.removeprefix("ASRL").removesuffix("::INSTR"), "reference") as board:
            yield board
    else:
        with open_visa_board(resource) as board:
            yield board


WIRING = Wiring(
    np.array([[0.5, 0], [0, 0.3], [-0.4, 0]]), np.array([[0, 0.2], [0.7, 0], [0, -0.5]]),
    np.array([True, False, False]), np.array([False, False, True]),
)  # fmt: skip


def drive(**changes):
    values = {
        "bias": np.full(N, 0.3), "clamp": np.full(N, 0.5), "target": np.full(N, -0.2),
        "drive_a": np.ones(K), "drive_b": np.full(K, 0.9), "averages": 64,
    }  # fmt: skip
    return Drive(**(values | changes))


def test_does_what_the_board_does_without_a_wire(board):
    with SpiceBoard(neurons=N, channels=K, mismatch=0.03, seed=0) as direct:
        assert board.identity == direct.identity
        assert board.sensors() == direct.sensors()
        assert board.limits == direct.limits
        for each in (board, direct):
            each.wire(WIRING)
        for changes in ({"restart": True}, {"nudge": 0.1}, {}, {"nudge": -0.1}):
            readings = [each.phase(drive(**changes)) for each in (board, direct)]
            assert np.abs(readings[0].volts - readings[1].volts).max() < 5e-4  # noise of the readout
            assert all(reading.settled for reading in readings)
        traces = [each.record(drive(restart=True), 5, 2e-6) for each in (board, direct)]
        assert np.abs(traces[0].volts - traces[1].volts).max() < 3e-3
        references = [each.reference(1.5, 64).volts for each in (board, direct)]
        assert np.abs(references[0] - references[1]).max() < 5e-4


def test_one_message_a_phase(board):
    board.wire(WIRING)
    before = board.counters()["messages"]
    board.phase(drive())
    assert board.counters()["messages"] == before + 1


@pytest.mark.parametrize(
    ("message", "reported"),
    [
        (":NUDG much", '-104,"Data type error"'),
        (":SHOUT 1", '-110,"Command header error"'),
        (":VOLT:BIAS 1,2", '-220,"Parameter error;2 values where 3 are due"'),
        (":COUP:A 9,1,1,1", '-220,"Parameter error;channel 9 is not from 0 to 1"'),
    ],
)
def test_errors_are_in_its_queue(resource, message, reported):
    with open_visa_board(resource) as board:
        instrument = board._instruments["board"]
        with pytest.raises(LinkError) as raised:
            instrument.ask([message, ":SETT?"], 1, timeout=0.2)
        assert str(raised.value).endswith(f"did not answer ':SETT?' within 0.2 s; it reports {reported}")
        assert instrument.errors() == []


def test_what_is_beyond_its_limits_is_refused_there_too(resource):
    with (
        open_visa_board(resource) as board,
        pytest.raises(DeviceError, match="Data out of range;Biases must be within"),
    ):
        board._instruments["board"].ask([":VOLT:BIAS 9,0,0;:INIT", ":SETT?"], 1, timeout=0.5)


def test_opc_waits_for_a_phase(resource):
    with open_visa_board(resource) as board:
        board.wire(WIRING)
        board.phase(drive())
        assert board._instruments["board"].ask([":INIT", "*OPC?", ":SETT?"], 2, timeout=10) == ["1", "1"]


def test_a_port_that_is_taken(resource):
    if not resource.startswith("TCPIP"):
        pytest.skip("a terminal has no port")
    place = ":".join(resource.split("::")[1:3])
    command = [COMMAND, "serve-board", "--neurons", "1", "--channels", "1", "--tcp", place]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"equipoise: {place} cannot be listened on (Address already in use): choose another\n"
