"""The shipped profile ``rack``, on a stand-in of its instruments: what such a rack can do, and what it cannot."""

import numpy as np
import pytest

from equipoise.calibration.plan import make_plan
from equipoise.drivers.analog.board import Drive
from equipoise.drivers.analog.device import AnalogDevice
from equipoise.drivers.analog.profile_file import SHIPPED
from equipoise.drivers.analog.scpi_board import open_visa_board
from equipoise.substrate.energy import oracle
from equipoise.substrate.errors import CapabilityError, DeviceError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio
from equipoise.substrate.phases import Minibatch, Schedule

from .rack import Rack, served_rack

NETWORK = Network((Module("x", 1, clamped=True), Module("y", 2)), (Coupling("x", "y", 1),), "y")


@pytest.fixture
def rack():
    return Rack()


@pytest.fixture
def board(rack, tmp_path):
    """The profile as shipped, but for the address of the multimeter and for the wait between two readings."""
    with served_rack(rack) as resources:
        text = (SHIPPED / "rack.toml").read_text()
        for old, new in (
            ("TCPIP::192.168.0.34::5025::SOCKET", resources["meter"]),
            ("interval = 0.02", "interval = 0.0"),
        ):
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = tmp_path / "rack.toml"
        path.write_text(text)
        with open_visa_board(resources["dac"], path) as opened:
            yield opened


def test_gradients_of_a_small_network(rack, board):
    assert (board.identity.model, board.identity.serial) == ("QDAC-II", "A001234")
    rng = np.random.default_rng(2)
    parameters = Parameters.random(NETWORK, rng).map(lambda leaf: np.clip(leaf, -2, 2))
    parameters.bias[:, 1:] = 0.3
    minibatch = Minibatch(rng.standard_normal((2, 1)), np.zeros(2, int), rng.standard_normal((2, 2)))
    device = AnalogDevice(board, address="test:")
    device.configure(NETWORK)
    device.write(parameters)
    result = device.run(minibatch, Schedule(beta=1 / 8))
    truth = oracle(NETWORK, parameters, minibatch)
    assert cosine(result.contrast, truth) > 0.9995
    assert norm_ratio(result.contrast, truth) == pytest.approx(1, abs=0.02)
    health = device.health()
    assert health["instrument_errors"] == 0
    # Two samples, four phases, each read twice, each until three scans agree; and two starts from 0 V.
    assert rack.scans == 2 * (4 * 2 + 1) * 3


def test_what_it_cannot_do(board):
    zeros = np.zeros(3)
    drive = Drive(zeros, zeros, zeros, np.zeros(1), np.zeros(1))
    with pytest.raises(
        CapabilityError, match=r"^This board cannot record in time: profile '.*' has no command 'record'$"
    ):
        board.record(drive, 2, 1e-3)
    with pytest.raises(
        CapabilityError, match=r"^Calibration needs at least 3 voltage references on the board, it has 0"
    ):
        make_plan(board.limits)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("+1.0E+00,+9.90000000E+37,+0.0E+00", r"^Overload in the free phase at neuron 1 \(y\[0\]\): lower gains"),
        ("+1.0E+00,+1.0E+00", r"answers 'read' with 2 values, not 3$"),
        ("+1.0E+00,nan,+1.0E+00", r"answers 'read' with no reading \(nan\) as value 1$"),
    ],
)
def test_readings_that_are_none(rack, board, answer, message):
    device = AnalogDevice(board, address="test:")
    device.configure(NETWORK)
    device.write(Parameters.zeros(NETWORK))
    rack.answer = answer
    with pytest.raises(DeviceError, match=message):
        device.run(Minibatch(np.ones((1, 1)), np.zeros(1, int), np.ones((1, 2))), Schedule(beta=1 / 8))
