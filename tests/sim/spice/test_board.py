"""The board in ngspice: what it settles to, how it gets there, its faults, and what is said when it fails."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from equipoise.drivers.analog.board import Drive, Sensors, Wiring
from equipoise.sim.spice.board import SpiceBoard
from equipoise.sim.spice.parts import Adc, Parts, board_limits
from equipoise.substrate.errors import CapabilityError, DeviceError

N, K = 5, 2

OF_SEED_7 = [0.9849, -0.2995, -0.362, -0.3374, -0.3387]
"""What the board of that seed reads, so that a board stays the same from version to version."""


@pytest.fixture(scope="module")
def perfect():
    with SpiceBoard(neurons=N, channels=K) as board:
        yield board


def wiring(seed=0):
    rng = np.random.default_rng(seed)
    clamped, output = np.zeros((2, N), dtype=bool)
    clamped[0], output[-2:] = True, True
    return Wiring(0.4 * rng.standard_normal((N, K)), 0.4 * rng.standard_normal((N, K)), clamped, output)


def drive(seed=0, **changes):
    rng = np.random.default_rng([seed, 1])
    bias, clamp, target = 0.5 * rng.standard_normal((3, N))
    return replace(Drive(bias, clamp, target, *rng.uniform(0.3, 1.5, (2, K)), averages=64), **changes)


def rate(states, wired, driven):
    """Of the states, in volts a time constant: the equation in the docstring of Drive."""
    s = states
    force = driven.bias - s - s**3 + driven.nudge * wired.output * (driven.target - s)
    force += wired.a @ (driven.drive_a * (wired.b.T @ s)) + wired.b @ (driven.drive_b * (wired.a.T @ s))
    return np.where(wired.clamped, 0.0, force)


@pytest.mark.parametrize("seed", range(3))
def test_settles_where_the_equations_do(perfect, seed):
    wired = wiring(seed)
    perfect.wire(wired)
    for nudge, restart in ((0.0, True), (0.125, False), (-0.125, False), (0.0, False)):
        driven = drive(seed, nudge=nudge, restart=restart)
        reading = perfect.phase(driven)
        assert reading.settled
        assert not reading.overload.any()
        assert reading.volts[0] == pytest.approx(driven.clamp[0], abs=3e-4)
        assert np.abs(rate(reading.volts, wired, driven)).max() < 1e-3


def test_moves_as_the_equations_say(perfect):
    wired, driven = wiring(), drive(restart=True)
    perfect.wire(wired)
    trace = perfect.record(driven, 40, 1e-6)
    start = np.where(wired.clamped, driven.clamp, 0.0)
    exact = solve_ivp(
        lambda _, s: rate(s, wired, driven) / 1e-5, (0, 1e-4), start, t_eval=trace.times, rtol=1e-8, atol=1e-10
    ).y.T
    assert np.abs(trace.volts - exact)[1:].max() < 6e-3  # amplifiers of 10 MHz lag behind at first
    assert np.abs(trace.volts - exact)[20:].max() < 3e-3


def test_goes_on_from_where_it_stands(perfect):
    perfect.wire(wiring())
    settled = perfect.phase(drive(restart=True)).volts
    assert np.abs(perfect.record(drive(), 5, 1e-6).volts - settled).max() < 3e-3
    assert np.abs(perfect.record(drive(restart=True), 5, 1e-6).volts - settled)[:, 1:].max() > 0.1


BEGIN_AGAIN = """
import numpy as np
from equipoise.drivers.analog.board import Drive
from equipoise.sim.spice import worker
from equipoise.sim.spice.parts import Parts, board_limits

worker.POINTS = 1
circuit = worker.LiveCircuit(board_limits(2, 1), Parts.draw(2, 1, 0.0, 0), 0.0)
drive = Drive(np.array([0.4, -0.9]), *np.zeros((2, 2)), *np.zeros((2, 1)))
states, _ = circuit.phase(drive)
points = circuit._spice.points
again, settled = circuit.phase(drive)
times, volts = circuit.record(drive, 5, 1e-6)
print(settled, circuit._spice.points < points, np.abs(again - states).max() < 1e-4, np.abs(volts - states).max() < 5e-3)
"""


def test_a_long_simulation_begins_again_where_it_stands():
    """So that memory stays bounded: here at every phase."""
    done = subprocess.run([sys.executable, "-c", BEGIN_AGAIN], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 4, done.stderr


def test_a_temperature_moves_all_parts_of_the_same_board():
    read = {}
    for temperature in (25.0, 35.0):
        with SpiceBoard(neurons=N, channels=K, mismatch=0.03, seed=7, temperature=temperature) as board:
            assert board.sensors() == Sensors(temperature, 12.0)
            serial = board.identity.serial
            board.wire(wiring())
            read[serial, temperature], _ = board._ask("phase", 60.0, drive(restart=True))  # before the readout
            read["reference", temperature] = board.reference(3.0, averages=64).volts
    moved = np.abs(read[serial, 35.0] - read[serial, 25.0])
    assert 1e-3 < moved.max() < 0.05
    assert 5e-3 < np.abs(read["reference", 35.0] - read["reference", 25.0]).max() < 0.1
    with pytest.raises(CapabilityError, match=r"within \+-85 degrees Celsius, not 400$"):
        SpiceBoard(temperature=400.0)


@pytest.mark.parametrize(("seed", "same"), [(7, True), (8, False)])
def test_a_seed_is_a_board(seed, same):
    with SpiceBoard(neurons=N, channels=K, mismatch=0.03, seed=seed) as board:
        assert f"-seed{seed}" in board.identity.serial
        board.wire(wiring())
        volts = board.phase(drive(restart=True)).volts
    assert (np.abs(volts - OF_SEED_7).max() < 2e-3) == same


def test_parts_spread_as_asked():
    parts = Parts.draw(64, 64, 0.03, 1)
    assert np.std(parts.sense_a) == pytest.approx(0.03, rel=0.1)
    assert np.std(parts.push_a) == pytest.approx(0.03, rel=0.1)
    assert abs(np.corrcoef(parts.sense_a.ravel(), parts.push_a.ravel())[0, 1]) < 0.1
    assert np.std(parts.target_offset) == pytest.approx(0.003, rel=0.5)
    assert np.all(Parts.draw(8, 4, 0.0, 1).nudge_up == 1)


def test_readout():
    limits = board_limits(4, 1)
    exact, over = Adc(limits, 0.0, 0).read(np.array([0.1, -3.0, 4.5, -4.5]), averages=4096)
    assert np.abs(exact - [0.1, -3.0, 4.0, -4.0])[:2].max() < 5e-5  # noise resolves less than a step
    assert over.tolist() == [False, False, True, True]
    one = Adc(limits, 0.0, 0).read(np.array([0.1, -3.0, 0.0, 1.0]))[0]
    assert np.allclose(one / limits.lsb, np.round(one / limits.lsb))
    faulty = Adc(limits, 0.03, 0)
    errors = faulty.read(np.outer(np.linspace(-3, 3, 7), np.ones(4)), 256)[0] - np.linspace(-3, 3, 7)[:, None]
    assert 1e-3 < np.abs(errors).max() < 0.5
    assert np.ptp(np.diff(errors[:, 0], 2)) < 5e-3 < np.abs(np.diff(errors[:, 0])).max()  # gain and bow, no more


def test_references(perfect):
    assert perfect.reference(1.5, 64).volts == pytest.approx(np.full(N, 1.5), abs=2e-4)
    with pytest.raises(CapabilityError, match=r"^References of this board are -3, -1\.5, 0, 1\.5, 3 V, not 1$"):
        perfect.reference(1.0)


def test_rails_hold_a_neuron_that_is_pushed_too_far(perfect):
    zero = np.zeros((N, K))
    unclamped = np.zeros(N, dtype=bool)
    weights = zero.copy()
    weights[1, 0] = 4.0
    perfect.wire(Wiring(weights, weights, unclamped, unclamped))
    gain = np.array([4.0, 0.0])
    reading = perfect.phase(drive(bias=np.full(N, 0.5), drive_a=gain, drive_b=gain, restart=True))
    assert reading.overload.tolist() == [False, True, False, False, False]
    assert reading.volts[1] == pytest.approx(4.0, abs=1e-3)


def test_noise_moves_the_states():
    driven = Drive(np.full(2, 0.3), *np.zeros((2, 2)), *np.zeros((2, 1)), averages=64)
    with SpiceBoard(neurons=2, channels=1, noise=0.2) as board:
        volts = [board.phase(driven).volts for _ in range(6)]
    assert np.std(volts, axis=0).max() > 0.005  # the readout alone: 0.00005


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": 65}, "A simulated analog board must have from 1 to 64 neurons, not 65"),
        ({"channels": 0}, "A simulated analog board must have from 1 to 64 channels, not 0"),
        ({"mismatch": 3.0}, "Mismatch of a SPICE board must be a fraction from 0 to 0.2, not 3"),
        ({"seed": -1}, "Seed of a SPICE board must be at least 0, not -1"),
        ({"noise": 9.0}, "Noise of a SPICE board must be from 0 to 4 V, not 9"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(CapabilityError) as raised:
        SpiceBoard(**options)
    assert str(raised.value) == message


def test_a_process_that_dies_is_one_error():
    with SpiceBoard(neurons=2, channels=1) as board:
        board._process.kill()
        for message in (
            r"^ngspice's process ended \(exit code -9, .*\): open the board again$",
            r"^The SPICE board is clo",
        ):
            with pytest.raises(DeviceError, match=message):
                board.phase(Drive(*np.zeros((3, 2)), *np.zeros((2, 1))))


def test_a_netlist_that_ngspice_refuses():
    code = "from equipoise.sim.spice.ngspice import Ngspice\nNgspice(['* title', 'V1 a 0 dc volts(1)', '.end'])"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "DeviceError: ngspice refused the netlist and said: Error on line 2 " in done.stderr
