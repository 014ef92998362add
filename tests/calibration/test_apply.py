"""A correction on boards whose imperfections it knows, or knows with an uncertainty."""

from dataclasses import fields, replace

import numpy as np
import pytest

from equipoise.calibration.apply import Calibrated
from equipoise.calibration.model import Model, nominal
from equipoise.drivers.analog.device import AnalogDevice
from equipoise.sim.virtual_board import VirtualBoard
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

LIMITS = VirtualBoard(neurons=6, channels=3).limits
NETWORK = Network(
    (Module("x", 2, clamped=True), Module("h", 2), Module("y", 2)), (Coupling("x", "h", 1), Coupling("h", "y", 2)), "y"
)


def problem(seed=3, error=0.3):
    rng = np.random.default_rng(seed)
    parameters = Parameters.random(NETWORK, rng)
    parameters.bias[:, ~NETWORK.clamped] = 0.3 * rng.standard_normal((1, 4))
    return parameters, Minibatch(rng.standard_normal((3, 2)), np.zeros(3, int), error * rng.standard_normal((3, 2)))


def correction(model=None, **uncertainty):
    zeros = np.zeros(LIMITS.neurons)
    base = nominal(LIMITS)
    unsure = replace(base, **{name: np.full(getattr(base, name).shape, value) for name, value in uncertainty.items()})
    return Calibrated(LIMITS, model or base, unsure, zeros, zeros, "record")


def device(one, board=None):
    opened = AnalogDevice(board or VirtualBoard(neurons=6, channels=3), one, address="test:", averages=1000)
    opened.configure(NETWORK)
    return opened


def truth(board):
    """The model that a fit would find of a virtual board if it were exact."""
    parts, base = board._parts, nominal(LIMITS)
    values = {}
    for item in fields(Model):
        name = item.name
        if name in {"even", "fourth"}:
            values[name] = getattr(base, name)
        elif name in {"read_bow", "before", "after"} or name.endswith("offset"):
            values[name] = getattr(parts, name)
        else:
            values[name] = getattr(parts, name) - 1 if name == "read_gain" else np.log(getattr(parts, name))
    return Model(**values)


def test_what_push_and_sense_differ_in_is_made_good_by_biases_of_the_nudged_phases(monkeypatch):
    """By the gradient that the board's own loss has for biases."""
    board = VirtualBoard(neurons=6, channels=3, mismatch=0.1, seed=2)
    parameters, minibatch = problem(error=1.0)
    found = {}
    for made_good in (True, False):
        if not made_good:
            monkeypatch.setattr(Calibrated, "_transposing", lambda *_: 0.0)
        one = device(correction(truth(board)), board)
        one.write(parameters)
        given = one.run(minibatch, Schedule(beta=1 / 64)).contrast.bias[0]
        layout, own = one._layout, np.zeros(6)

        def loss(moved, layout=layout, one=one):
            total = 0.0
            for sample in range(3):
                drive = layout.nudged(layout.drive(moved, minibatch, sample, 1), 0.0, restart=True)
                states = board.exact(one._correction.drive(drive))
                total += 0.5 * np.sum((states[4:] - minibatch.target[sample]) ** 2) / 3
            return total

        for i in range(2, 6):
            up, down = parameters.map(np.copy), parameters.map(np.copy)
            up.bias[0, i] += 1e-4
            down.bias[0, i] -= 1e-4
            own[i] = (loss(down) - loss(up)) / 2e-4
        found[made_good] = 1 - given @ own / np.linalg.norm(given) / np.linalg.norm(own)
    assert found[True] < 1e-5
    assert found[False] > 100 * found[True]


@pytest.mark.parametrize("estimator", [Estimator.SYMMETRIC, Estimator.ONE_SIDED])
@pytest.mark.parametrize(
    "unsure",
    [
        {"target_offset": 0.02},
        {"nudge_up": 0.05, "nudge_down": 0.05},
        {"read_gain": 0.03, "before": 0.02},
    ],
    ids=str,
)
def test_what_a_fit_is_not_sure_of_is_carried_into_the_gradient(unsure, estimator):
    """Against boards that differ from the model by draws of the same size."""
    parameters, minibatch = problem()
    exact = device(correction(**unsure))
    exact.write(parameters)
    # Free states of other boards differ, too, which is right for them: contrasts are compared at one nudge each.
    schedule = Schedule(beta=1 / 16, estimator=estimator)
    right = exact.run(minibatch, schedule).contrast.vector()
    told = exact.health()["correction_uncertainty"] * np.linalg.norm(right)
    assert exact.health()["gradient_uncertainty"] >= exact.health()["correction_uncertainty"]
    rng, squares = np.random.default_rng(1), []
    for _ in range(12):
        drawn = {
            name: deviation * rng.standard_normal(getattr(nominal(LIMITS), name).shape)
            for name, deviation in unsure.items()
        }
        off = device(correction(replace(nominal(LIMITS), **drawn)))
        off.write(parameters)
        squares.append(np.sum((off.run(minibatch, schedule).contrast.vector() - right) ** 2))
    assert told == pytest.approx(np.sqrt(np.mean(squares)), rel=0.5)


def test_couplings_that_a_fit_is_not_sure_of():
    """What a slope and its transpose make of one nudge, over models that are drawn: that much a gradient is off."""
    unsure = {"push_a": 0.02, "sense_b": 0.02, "drive_b": 0.02}
    one = device(correction(**unsure))
    parameters, minibatch = problem()
    one.write(parameters)
    one.run(minibatch, Schedule())
    wiring = one._layout.wiring(parameters)
    wanted = one._layout.nudged(one._layout.drive(parameters, minibatch, 0, 1), 0.1, restart=False)
    free = ~wiring.clamped
    base, rng, errors = nominal(LIMITS), np.random.default_rng(5), []
    at = base.equilibrium(LIMITS, wiring, replace(wanted, nudge=0.0))
    push = 2 * (0.1 * wiring.output * (wanted.target - at))[free]
    inside = np.ix_(free, free)

    def answer(model, *, transposed):
        slope = model.slope(LIMITS, wiring, replace(wanted, nudge=0.0), at)[inside]
        return -np.linalg.solve(slope.T if transposed else slope, push)

    for _ in range(400):
        drawn = {name: size * rng.standard_normal(getattr(base, name).shape) for name, size in unsure.items()}
        model = replace(base, **drawn)
        errors.append(answer(model, transposed=False) - answer(model, transposed=True))
    moved = np.zeros(6)
    moved[free] = answer(base, transposed=False)
    told = one._correction.doubt(wanted, at, moved, both=True)
    assert told.shape == (16, 6)
    assert np.sqrt(np.mean(told[:, free] ** 2)) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.35)


def test_what_cannot_be_told_is_held_and_counted():
    board = VirtualBoard(neurons=6, channels=3)
    weak = np.full(LIMITS.neurons, np.exp(-0.1))
    board._parts = replace(board._parts, clamp_gain=weak, bias_gain=weak, nudge_up=weak, nudge_down=weak)
    one = device(correction(truth(board)), board)
    parameters, minibatch = problem()
    one.write(parameters)
    assert not one.run(minibatch, Schedule()).saturations
    parameters.bias[0, 3] = 3.9
    minibatch.clamped[1, 0] = 3.8
    one.write(parameters)
    result = one.run(minibatch, Schedule(beta=0.48))
    held = {name: count for name, count in one.health().items() if name.startswith("held_")}
    # In four phases: of one sample, of none, of three; and in the two that are nudged.
    assert held == {"held_clamps": 4, "held_targets": 0, "held_biases": 3 * 4, "held_nudges": 3 * 2}
    assert (result.saturations.state, result.saturations.force) == (4, 18)
