"""Railed modules: rails belong to the equations of models and oracle, as every device has them anyway."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.substrate.energy import cost, equilibrium, force, oracle
from equipoise.substrate.network import RAIL, Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

NETWORK = Network(
    (
        Module("x", 3, clamped=True),
        Module("h", 8, quartic=0.0, railed=True),
        Module("y", 3, quartic=0.0),
    ),
    (Coupling("x", "h", 3), Coupling("h", "y", 3), Coupling("x", "y", 2)),
    output="y",
    dt=0.5,
    levels=2,
)


def driven(seed: int = 0, batch: int = 8) -> tuple[Parameters, Minibatch]:
    """Parameters and samples that push some hidden neurons to either rail, and leave others between."""
    rng = np.random.default_rng(seed)
    drawn = Parameters.random(NETWORK, rng)
    bias = np.where(NETWORK.clamped, 0.0, rng.uniform(-0.3, 0.3, drawn.bias.shape))
    bias[:, NETWORK.slices["h"]] = rng.uniform(-3.9, 3.9, 8)
    gain = (7.5 * drawn.gain[0], *drawn.gain[1:])
    minibatch = Minibatch(rng.normal(size=(batch, 3)), rng.integers(0, 2, batch), 0.5 * rng.normal(size=(batch, 3)))
    return Parameters(drawn.U, drawn.V, gain, bias), minibatch


def test_states_rest_at_the_rails_where_they_are_pushed_there() -> None:
    parameters, minibatch = driven()
    states = equilibrium(NETWORK, parameters, minibatch)
    pull = force(NETWORK, parameters, states, minibatch.levels)
    hidden = np.zeros(NETWORK.neurons, bool)
    hidden[NETWORK.slices["h"]] = True
    at_rail = hidden & (np.abs(states) == RAIL)
    assert 0.1 < at_rail[:, hidden].mean() < 0.9
    assert np.abs(states[:, hidden]).max() <= RAIL
    assert np.all(pull[at_rail] * states[at_rail] > 0)
    assert np.abs(np.where(at_rail | NETWORK.clamped, 0.0, pull)).max() <= 1e-10


def test_oracle_is_the_slope_of_the_mean_cost_with_neurons_at_the_rails() -> None:
    parameters, minibatch = driven()
    assert minibatch.target is not None
    vector, step = parameters.vector(), 1e-5

    def mean_cost(moved: np.ndarray) -> float:
        states = equilibrium(NETWORK, parameters.replace(moved), minibatch, tolerance=1e-12)
        return float(cost(NETWORK, states, minibatch.target).mean())

    slope = np.array(
        [(mean_cost(vector + step * e) - mean_cost(vector - step * e)) / (2 * step) for e in np.eye(len(vector))]
    )
    np.testing.assert_allclose(oracle(NETWORK, parameters, minibatch).vector(), -slope, atol=1e-7)


@pytest.mark.parametrize("model", [FloatModel, Golden])
def test_what_relaxes_ends_at_the_equilibrium_and_its_contrast_is_the_oracle(model: type) -> None:
    """With steps as long as half the time constant of every neuron, a dozen are enough."""
    parameters, minibatch = driven(batch=32)
    with model() as device:
        device.configure(NETWORK)
        device.write(parameters)
        result = device.run(minibatch, Schedule(24, 12, 1 / 8, Estimator.SYMMETRIC))
        truth = equilibrium(NETWORK, device.read(), minibatch)
        np.testing.assert_allclose(device.states()["free"], truth, atol=2e-3)
        assert cosine(result.contrast, oracle(NETWORK, device.read(), minibatch)) > 0.99


def test_rails_hold_under_noise() -> None:
    parameters, minibatch = driven()
    with FloatModel() as device:
        device.configure(NETWORK)
        device.write(parameters)
        device.run(minibatch, Schedule(8, 1, 1 / 8, Estimator.FREE, temperature=1.0))
        assert np.abs(device.states()["free"][:, NETWORK.slices["h"]]).max() == RAIL


def test_modules_without_rails_have_none_in_the_equations() -> None:
    """A model is linear where nothing bends, whatever its states."""
    free = replace(NETWORK, modules=tuple(replace(module, railed=False) for module in NETWORK))
    parameters, minibatch = driven()
    states = equilibrium(free, parameters, minibatch)
    assert np.abs(states[:, free.slices["h"]]).max() > RAIL
    assert not free.railed.any()
