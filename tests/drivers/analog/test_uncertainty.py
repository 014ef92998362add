"""How wrong a contrast may be, against many that are wrong."""

import numpy as np
import pytest

from equipoise.drivers.analog.uncertainty import contrast_error
from equipoise.substrate.contrast import contrast
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch

NETWORK = Network(
    (Module("x", 2, clamped=True), Module("h", 3), Module("y", 2)),
    (Coupling("x", "h", 2), Coupling("h", "y", 2)),
    "y",
    levels=2,
)
BATCH, DRAWS = 3, 1500


@pytest.mark.parametrize("size", [0.2, 2.0])  # where biases dominate, and where couplings do
def test_agrees_with_many_draws(size):
    rng = np.random.default_rng(5)
    parameters = Parameters.zeros(NETWORK).map(lambda leaf: rng.standard_normal(leaf.shape))
    minibatch = Minibatch(np.zeros((BATCH, 2)), np.array([0, 1, 1]))
    states = size * rng.standard_normal((BATCH, NETWORK.neurons))
    error = 1e-3 * rng.uniform(0.5, 2, states.shape)
    error[:, NETWORK.clamped] = 0.0
    told = contrast_error(NETWORK, parameters, minibatch, states, error, scale=0.25)
    squares = []
    for _ in range(DRAWS):
        plus, minus = states + error / np.sqrt(2) * rng.standard_normal((2, *states.shape))
        squares.append(np.sum(contrast(NETWORK, parameters, minibatch, plus, minus, 0.25).vector() ** 2))
    assert told == pytest.approx(np.sqrt(np.mean(squares)), rel=0.04)
