"""The self-test on devices with a fault: each is found, and the first bad thing is named."""

import re
from dataclasses import replace
from functools import partial

import pytest

from equipoise.drivers import address
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host.selftest import selftest
from equipoise.host.selftest.selftest import CHECKS, self_test
from equipoise.sim.board import SimulatedBoard
from equipoise.sim.build import build_board
from equipoise.sim.device import connect
from equipoise.substrate.errors import DeviceError
from equipoise.substrate.geometry import Geometry

from ..conftest import SMALL
from ..drivers.peer import MemoryDevice, Wire
from .board import Fault, faulty_board
from .uart import serial_line, transfer


@pytest.fixture
def test_board(monkeypatch, tmp_path):
    """Tests a simulated board with a fault; gives the report."""

    def run(fault, **options):
        board = faulty_board(SMALL, fault, tmp_path)
        monkeypatch.setattr(selftest, "open_device", lambda address: connect(board))
        return self_test("sim:", **options)

    return run


FOUND = {
    Fault.STUCK_BIT: ("memories", r"fine_weights row 37, lane 1: bit 5 is stuck at 0"),
    Fault.STUCK_LINE: ("memories", r"fine_gains row 0, lane 1: bit 11 is stuck at 1, and so in 1024 rows"),
    Fault.HALF_THE_ROWS: (
        "memories",
        r"fine_weights row 0, lane 0: wrote 0x\w{8}, read 0x\w{8} \(lowest wrong bit: \d+\), which was written to row "
        r"2048: address lines, or a bitstream of another geometry; \d+ words in 2048 rows are wrong",
    ),
    Fault.DEAD_LANE: ("multipliers", r"lane 1, context 0 answers 0 where -?\d\.\d+ is right, wrong in every context"),
    Fault.DEAD_MULTIPLIER: ("multipliers", r"lane 0, context 1 answers 0 where .* is right, wrong in 1 of 2 contexts"),
    Fault.NOISE_BIT: ("noise", r"noise of context 0: value \d of seed 0 is -?\d+, not -?\d+; \d+ of 256 differ"),
    Fault.PHANTOM_SAMPLES: ("training step", r"training step 1: .*"),
    Fault.WRONG_BYTE: ("link echo", r"byte 0 of an echo of 1 bytes came back as 0x5b, not 0x5a"),
}


def test_a_sound_board_passes(test_board):
    steps = []
    report = test_board(Fault.NONE, progress=lambda *step: steps.append(step))
    assert [check.name for check in report.checks] == ["hello", *CHECKS]
    assert report.ok and report.first_failure is None, report.first_failure
    for name in CHECKS:
        own = [(done, total) for told, done, total in steps if told == name]
        assert own[0] == (0, 1) and own[-1][0] == own[-1][1]
        assert [done for done, total in own[1:-1]] == list(range(own[-1][1] + 1))


@pytest.mark.parametrize("fault", FOUND, ids=lambda fault: fault.name.lower())
def test_a_fault_is_found_and_named(test_board, fault):
    report = test_board(fault)
    check, found = FOUND[fault]
    assert report.first_failure.name == check, report.checks
    assert re.fullmatch(found, report.first_failure.found), report.first_failure.found
    assert all(check.ok is not None for check in report.checks)


def test_a_bitstream_of_another_geometry(monkeypatch, board_build):
    with connect(board_build) as device:
        expected = device.identity.build
    other = build_board(replace(SMALL, contexts=3))
    monkeypatch.setattr(selftest, "open_device", lambda address: connect(other))
    report = self_test("sim:", expect=expected)
    assert report.first_failure.name == "hello"
    assert re.fullmatch(
        rf"another bitstream than expected, build {expected}: build \w{{16}}, board \w{{16}}, 2 lanes x 3 contexts, "
        r"128 neurons, .*; flash it again",
        report.first_failure.found,
    )
    assert all(check.ok for check in report.checks[1:])


def test_a_wrong_baud_rate(monkeypatch, board_build):
    monkeypatch.setattr(address, "Session", partial(Session, deadline=0.2, retries=1))
    with SimulatedBoard(board_build) as board, serial_line(board, baud=1_000_000) as port:
        with address.open_serial(port, baud=1_000_000) as device:
            assert device.identity.details["geometry"]["lanes"] == SMALL.lanes
        for baud in (921_600, 500_000, 3_000_000):
            report = self_test(f"serial:{port}?baud={baud}")
            assert report.first_failure.name == "hello"
            assert report.first_failure.found.endswith(f"then open it again; or is {baud} not its baud rate?")


@pytest.mark.parametrize("rate", [0.97, 1.0, 1.03])
def test_the_line_carries_bytes_at_nearly_the_same_rate(rate):
    data = bytes(range(256)) * 2
    assert transfer(data, 1_000_000, int(1_000_000 * rate)) == data
    assert transfer(data, 1_000_000, 1_150_000) != data


def test_a_bad_wire_is_no_pass_although_all_is_repeated(monkeypatch):
    device = GatewareDevice(Session(Wire(MemoryDevice(), faults=0.02), deadline=0.0, retries=1000))
    monkeypatch.setattr(selftest, "open_device", lambda address: device)
    found = next(check.found for check in self_test("tcp:far:1").checks if check.name == "link echo")
    assert re.fullmatch(r"\d+ of 343 frames had to be repeated and \d+ were damaged: lower the baud rate, .*", found)


def test_what_is_no_gateware_is_refused():
    with pytest.raises(DeviceError) as error:
        self_test("golden:")
    assert str(error.value) == "golden: is no gateware but of kind 'golden': give a sim:, serial: or tcp: device"


def test_a_link_that_dies_leaves_the_rest_unchecked(monkeypatch):
    wire = Wire(MemoryDevice(), mangle=lambda number, frame: frame if number < 348 else b"")
    device = GatewareDevice(Session(wire, deadline=0.0))
    monkeypatch.setattr(selftest, "open_device", lambda address: device)
    report = self_test("tcp:far:1")
    assert [check.ok for check in report.checks] == [True, True, False, None, None, None, None, None]
    assert report.first_failure.found.startswith("wire: gave no good answer to WRITE of modules")
    assert report.checks[-1].found == "not made: the link is gone"


SIZES = [
    Geometry(lanes=1, contexts=1, modules=2, neurons=4, rows=4, groups=2, levels=1, sample_words=4, output_words=2),
    Geometry(lanes=64, contexts=16, modules=3, neurons=16, rows=20, groups=2, levels=2, sample_words=64),
]


@pytest.mark.parametrize("geometry", SIZES, ids=["smallest", "many lanes"])
def test_every_geometry_has_networks_for_the_checks(monkeypatch, geometry):
    """On a peer that keeps memories and computes nothing: what fails is what it answers, not what it is asked."""
    device = GatewareDevice(Session(Wire(MemoryDevice(geometry)), deadline=0.0))
    monkeypatch.setattr(selftest, "open_device", lambda address: device)
    report = self_test("tcp:far:1")
    assert [check.ok for check in report.checks] == [True, True, True, False, False, False, False, False]
    assert all("counted 0 relaxation steps" in check.found for check in report.checks[3:6])
    assert "counted 0 updates" in report.checks[6].found
