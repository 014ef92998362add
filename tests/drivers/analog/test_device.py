"""A network on a board: units, phases, gradients, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.drivers.analog.board import Reading
from equipoise.drivers.analog.correction import AsMade
from equipoise.drivers.analog.device import AnalogDevice
from equipoise.drivers.analog.standard import Check, Standard
from equipoise.substrate.energy import oracle
from equipoise.substrate.errors import CalibrationError, CapabilityError, DeviceError, ParameterError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

from .ideal import IdealBoard


def network(stiffness=1.0, quartic=1.0, hidden=3, rank=2):
    return Network(
        (
            Module("x", 2, clamped=True),
            Module("h", hidden, stiffness, quartic),
            Module("y", 2, stiffness, quartic),
        ),
        (Coupling("x", "h", rank), Coupling("h", "y", 2)),
        "y",
        levels=2,
    )


def problem(net, batch=2):
    rng = np.random.default_rng(3)
    parameters = Parameters.random(net, rng)
    parameters.gain[0][1] = 0.5
    parameters.bias[:, ~net.clamped] = 0.2 * rng.standard_normal((2, net.neurons - net.inputs))
    minibatch = Minibatch(
        rng.standard_normal((batch, net.inputs)), np.arange(batch) % 2, rng.standard_normal((batch, net.outputs))
    )
    return parameters, minibatch


def ready(net, board=None, **options):
    device = AnalogDevice(board or IdealBoard(), address="test:", **options)
    device.configure(net)
    parameters, minibatch = problem(net)
    device.write(parameters)
    return device, parameters, minibatch


@pytest.mark.parametrize(
    ("stiffness", "quartic", "board"),
    [
        (1.0, 1.0, {}),
        (2.0, 0.5, {}),
        (1.0, 1.0, {"stiffness": 0.5, "quartic": 3.0}),
        (1.0, 0.0, {"quartic": 0.0}),
    ],
)
def test_gradients_are_the_networks_in_whatever_units_the_board_has(stiffness, quartic, board):
    net = network(stiffness, quartic)
    device, parameters, minibatch = ready(net, IdealBoard(**board))
    result = device.run(minibatch, Schedule(beta=1 / 64))
    truth = oracle(net, parameters, minibatch)
    assert cosine(result.contrast, truth) > 0.99999
    assert norm_ratio(result.contrast, truth) == pytest.approx(1, abs=0.01)
    assert result.residual < 1e-6
    assert not result.saturations
    assert device.identity.kind == "analog"
    assert (device.identity.uid, device.identity.build) == ("Test,Ideal,1", "2")


def test_one_sided_and_free():
    net = network()
    device, parameters, minibatch = ready(net)
    one = device.run(minibatch, Schedule(beta=1 / 64, estimator=Estimator.ONE_SIDED))
    assert cosine(one.contrast, oracle(net, parameters, minibatch)) > 0.999
    free = device.run(replace(minibatch, target=None), Schedule(estimator=Estimator.FREE))
    assert free.contrast is None
    assert np.allclose(free.outputs, one.outputs)
    assert np.array_equal(device.states()["free"], device.states()["last"])


@pytest.mark.parametrize(
    ("order", "nudges"), [("+-", [0, 1, 0, -1]), ("+--+", [0, 1, 0, -1, -1, 0, 1])]
)  # fmt: skip
def test_both_nudges_start_from_the_free_state(order, nudges):
    device, _, minibatch = ready(network(), board := IdealBoard(), order=order, averages=5)
    device.run(minibatch, Schedule(beta=1 / 16))
    assert [drive.nudge * 16 for drive in board.drives] == [each for each in nudges * 2 for _ in range(2)]  # read twice
    assert [drive.restart for drive in board.drives] == ([True] + [False] * (2 * len(nudges) - 1)) * 2
    assert {drive.averages for drive in board.drives} == {5}
    assert device.health()["return_volts"] < 1e-6


def test_a_drift_cancels_in_the_order_that_reads_twice():
    errors = {}
    for order in ("+-", "+--+"):
        net = network()
        exact, _, minibatch = ready(net, order=order)
        drifting, _, _ = ready(net, IdealBoard(drift=1e-6), order=order)
        truth, found = (device.run(minibatch, Schedule(beta=1 / 16)).contrast.bias for device in (exact, drifting))
        errors[order] = np.abs(found - truth).max()
    assert errors["+-"] == pytest.approx(16e-6)  # 4 readings of 1 uV each, over 2 beta, in half of the samples
    assert errors["+--+"] < 1e-9


def late(board: IdealBoard, count: list[int]):
    """Answers every third request with the answer before."""
    said: list[Reading] = []

    def spoil(reading: Reading) -> Reading:
        said.append(reading)
        if len(said) % 3 == 0:
            count.append(len(said))
            return said[-2]
        return reading

    board.spoil = spoil
    return board


def wild(board: IdealBoard, count: list[int]):
    """Reads one neuron wrongly, now and then."""
    rng = np.random.default_rng(0)

    def spoil(reading: Reading) -> Reading:
        volts = reading.volts.copy()
        if rng.random() < 0.2:
            volts[rng.integers(7)] += rng.normal()
            count.append(1)
        return replace(reading, volts=volts)

    board.spoil = spoil
    return board


@pytest.mark.parametrize("spoilt", [late, wild])
def test_late_answers_and_outliers_are_read_again(spoilt):
    net, count = network(), []
    exact, _, minibatch = ready(net)
    spoiled, _, _ = ready(net, spoilt(IdealBoard(), count))
    truth, found = (device.run(minibatch, Schedule(beta=1 / 16)).contrast.vector() for device in (exact, spoiled))
    assert count
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_outliers_of_any_neuron_do_no_harm():
    """Even if three in ten readings are."""
    rng, board = np.random.default_rng(4), IdealBoard()

    def spoil(reading):
        wrong = rng.random(reading.volts.shape) < 0.3
        return replace(reading, volts=reading.volts + 0.2 * rng.standard_normal(reading.volts.shape) * wrong)

    calm, _, minibatch = ready(network())
    right = calm.run(minibatch, Schedule()).contrast.vector()
    board.spoil = spoil
    device, *_ = ready(network(), board)
    for _ in range(4):
        assert device.run(minibatch, Schedule()).contrast.vector() == pytest.approx(right, abs=1e-3)


def test_two_readings_that_agree_are_not_outvoted_by_two_that_do_not():
    net, count = network(), []
    exact, _, minibatch = ready(net)
    device, _, _ = ready(net, board := IdealBoard())

    def spoil(reading):
        """Of four readings the second and the third are wrong, on one side of the others."""
        volts, at = reading.volts.copy(), len(count) % 4
        count.append(at)
        volts[5] += 0.1 * at if at in {1, 2} else 0.0
        return replace(reading, volts=volts)

    board.spoil = spoil
    truth, found = (each.run(minibatch, Schedule(beta=1 / 16)).contrast.vector() for each in (exact, device))
    assert len(count) == 2 * 4 * 4  # samples, phases, readings
    np.testing.assert_allclose(found, truth, atol=1e-4)


class Told(Standard):
    """A standard that finds what it is told."""

    def __init__(self, strict=True):
        self.strict, self.reason, self.count = strict, "", 0

    @property
    def state(self):
        return "valid"

    def check(self):
        self.count += 1
        return Check(np.array([0.5, 5.0 if self.reason else 1.0]), self.reason)


def test_checks_are_made_when_they_are_due(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("equipoise.drivers.analog.device.time.monotonic", lambda: now[0])
    standard = Told()
    device, _, minibatch = ready(network(), standard=standard, check_minutes=2)
    assert device.identity.details["check_minutes"] == 2
    for now[0], count in ((119.0, 0), (120.0, 1), (239.0, 1), (240.0, 2)):
        device.run(minibatch, Schedule())
        assert standard.count == count
    assert (device.health()["checks"], device.health()["check_missed_lsb"]) == (2, 1.0)
    now[0], standard.reason = 360.0, "channel 1 reads 5 steps beside"
    with pytest.raises(
        CalibrationError, match=r"^The board has drifted: channel 1 reads 5 steps beside\. Run equipoise"
    ):
        device.run(minibatch, Schedule())
    with pytest.raises(DeviceError, match="call configure and write first"):  # the check left its own weights there
        device.run(minibatch, Schedule())


def test_a_board_used_in_spite_of_its_drift_is_told():
    standard, told = Told(strict=False), []
    standard.reason = "channel 1"
    device, _, minibatch = ready(network(), standard=standard)
    device.listener = told.append
    assert device.check().reason == "channel 1"
    assert told == ["the board has drifted, and is used all the same: channel 1"]
    device.run(minibatch, Schedule())


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf")])
def test_wrong_minutes_between_checks(minutes):
    with pytest.raises(CapabilityError, match="Minutes between checks"):
        AnalogDevice(IdealBoard(), address="test:", check_minutes=minutes)


def test_a_neuron_that_never_reads_the_same_is_named():
    rng = np.random.default_rng(0)

    def spoil(reading):
        volts = reading.volts.copy()
        volts[3] += rng.normal()
        return replace(reading, volts=volts)

    board = IdealBoard()
    board.spoil = spoil
    device, _, minibatch = ready(network(), board)
    with pytest.raises(
        DeviceError,
        match=r"^No two of 12 readings of neuron 3 \(\w+\[\d\]\) agree within .* mV, .* V: check the board's re",
    ):
        device.run(minibatch, Schedule(beta=1 / 16))


def test_says_how_good_a_gradient_is():
    net = network()

    class Unsure(AsMade):
        record = "record 7"

        def uncertainty(self, reading):
            return np.full(reading.volts.shape, 1e-3)

    device, _, minibatch = ready(net, correction=Unsure(1e-4))
    assert device.identity.details["calibration"] == "record 7"
    size = np.linalg.norm(device.run(minibatch, Schedule(beta=1 / 16)).contrast.vector())
    told = device.health()["gradient_uncertainty"]
    assert device.health()["smallest_beta"] == pytest.approx(told / 16 / 0.1)
    rng = np.random.default_rng(0)
    board = device._board
    clean = device.run(minibatch, Schedule(beta=1 / 16)).contrast.vector()
    board.spoil = lambda reading: replace(
        reading, volts=reading.volts + 1e-3 / np.sqrt(2) * rng.standard_normal(reading.volts.shape)
    )
    seen = [np.linalg.norm(device.run(minibatch, Schedule(beta=1 / 16)).contrast.vector() - clean) for _ in range(12)]
    assert told * size == pytest.approx(np.sqrt(np.mean(np.square(seen))), rel=0.35)


def test_what_is_beyond_the_range_is_held_and_counted():
    device, _, minibatch = ready(network(), board := IdealBoard())
    minibatch.clamped[0, 1] = 5.0
    minibatch.target[1, 0] = -7.0
    result = device.run(minibatch, Schedule())
    assert result.saturations.state == 2
    assert board.drives[0].clamp[1] == 4.0
    assert minibatch.clamped[0, 1] == 5.0


def test_overload_names_neurons():
    device, _, minibatch = ready(network(), board := IdealBoard())
    over = np.array([False, False, False, True, False, True, False, True])
    board.spoil = lambda reading: replace(reading, overload=over)
    with pytest.raises(DeviceError) as raised:
        device.run(minibatch, Schedule())
    assert str(raised.value) == (
        "Overload in the free phase at neuron 3 (h[1]), neuron 5 (y[0]): lower gains or weights there, "
        "or check the board's supply"
    )
    with pytest.raises(DeviceError, match="has no states: run a minibatch first"):
        device.states()


def test_a_phase_that_does_not_settle():
    device, _, minibatch = ready(network(), board := IdealBoard())
    board.spoil = lambda reading: replace(reading, settled=not board.drives[-1].nudge < 0)
    with pytest.raises(DeviceError, match=r"^The board did not settle in the negative phase, neuron \d \("):
        device.run(minibatch, Schedule())


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (network(hidden=9), "The board has 8 neurons, the network needs 13: take a smaller network"),
        (network(rank=3), "The board has 4 rank channels, the network needs 5: take a smaller network"),
        (
            network(quartic=0.0),
            "The board's neurons have stiffness 1 and quartic 1 /V^2, and no scale gives a network's 1 and 0: "
            "set stiffness above 0 and quartic above 0",
        ),
        (
            Network((Module("h", 2, quartic=(1.0, 2.0)), Module("y", 1)), (Coupling("h", "y", 1),), "y"),
            "All neurons of a board have one quartic, the network's have 1 to 2: "
            "give all modules that are not clamped the same quartic",
        ),
        (
            Network((Module("h", 2, railed=True), Module("y", 1)), (Coupling("h", "y", 1),), "y"),
            "Module 'h' is to reach its rails, which a board takes for an overload: "
            "leave out railed, and set quartic above 0",
        ),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(net, message):
    device = AnalogDevice(IdealBoard(), address="test:")
    with pytest.raises(CapabilityError) as raised:
        device.configure(net)
    assert str(raised.value) == message


def test_parameters_that_do_not_fit():
    device, parameters, _ = ready(network())
    parameters.gain[1][1, 0] = 4.5
    with pytest.raises(ParameterError) as raised:
        device.write(parameters)
    assert str(raised.value) == "Gain of coupling 'h-y' must be within +-4 on this board, not 4.5 at (1, 0)"


def test_schedules_that_do_not_fit():
    device, _, minibatch = ready(network())
    with pytest.raises(CapabilityError, match=r"^Beta must be at most 0\.5 on this board, not 0\.75$"):
        device.run(minibatch, Schedule(beta=0.75))
    with pytest.raises(CapabilityError, match=r"no noise to set: temperature must be 0, not 0\.1$"):
        device.run(minibatch, Schedule(temperature=0.1))


def test_order_of_calls():
    device = AnalogDevice(board := IdealBoard(), address="test:")
    with pytest.raises(DeviceError, match="call configure first"):
        device.write(problem(network())[0])
    device.configure(network())
    with pytest.raises(DeviceError, match="call configure and write first"):
        device.read()
    device.close()
    assert board.closed


@pytest.mark.parametrize(("options", "message"), [({"order": "-+"}, "one of"), ({"averages": 0}, "at least 1, not 0")])
def test_wrong_options(options, message):
    with pytest.raises(CapabilityError, match=message):
        AnalogDevice(IdealBoard(), address="test:", **options)
