"""Energy, its derivatives, equilibria and the oracle, each against finite differences of the one before."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.substrate.energy import cost, energy, equilibrium, force, hessian, oracle
from equipoise.substrate.errors import DataError, ParameterError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch

from ..networks import networks, random_parameters
from .examples import SMALL, digits_network, minibatch_for, uneven

STEP = 1e-5


def shifted(states: np.ndarray, neuron: int, step: float) -> np.ndarray:
    moved = states.copy()
    moved[:, neuron] += step
    return moved


def test_energy_is_the_formula() -> None:
    network = Network((Module("a", 1, 2.0, 3.0), Module("b", 2)), (Coupling("a", "b", 1),), "b", levels=2)
    gain, bias = np.array([[7.0], [2.0]]), np.array([[9.0, 9.0, 9.0], [0.1, 0.2, 0.3]])
    parameters = Parameters((np.array([[0.5]]),), (np.array([[0.3], [-0.4]]),), (gain,), bias)
    a, b, c = 1.5, -0.5, 2.0
    own = 2 / 2 * a**2 + 3 / 4 * a**4 + b**2 / 2 + b**4 / 4 + c**2 / 2 + c**4 / 4
    expected = own - 0.1 * a - 0.2 * b - 0.3 * c - 2.0 * (0.5 * a) * (0.3 * b - 0.4 * c)
    assert energy(network, parameters, np.array([[a, b, c]]), np.array([1])) == pytest.approx([expected])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(network=networks(5), seed=st.integers(0, 2**32))
def test_force_and_hessian_are_derivatives(network: Network, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters, batch = random_parameters(network, rng, 0.5), 3
    states, levels = rng.standard_normal((batch, network.neurons)), rng.integers(0, network.levels, batch)
    f, H = force(network, parameters, states, levels), hessian(network, parameters, states, levels)
    for neuron in range(network.neurons):
        up, down = shifted(states, neuron, STEP), shifted(states, neuron, -STEP)
        rise = energy(network, parameters, up, levels) - energy(network, parameters, down, levels)
        turn = force(network, parameters, up, levels) - force(network, parameters, down, levels)
        scale = 1 + np.abs(H).max()
        np.testing.assert_allclose(f[:, neuron], -rise / (2 * STEP), atol=1e-6 * scale)
        np.testing.assert_allclose(H[:, neuron], -turn / (2 * STEP), atol=1e-6 * scale)


def test_cost_is_of_the_output_module() -> None:
    states = np.zeros((2, SMALL.neurons))
    states[1, 9:] = 1.0, 2.0, 3.0
    assert cost(SMALL, states, np.full((2, 3), 1.0)) == pytest.approx([1.5, 2.5])


@pytest.mark.parametrize("radius", [0.46, 3.0])
def test_equilibrium_is_a_minimum_with_clamped_neurons_held(radius: float) -> None:
    network, rng = digits_network(levels=3), np.random.default_rng(2)
    parameters, minibatch = uneven(network, rng, radius), minibatch_for(network, rng, 32)
    states = equilibrium(network, parameters, minibatch)
    free = ~network.clamped
    assert np.array_equal(states[:, :64], minibatch.clamped)
    assert np.abs(force(network, parameters, states, minibatch.levels)[:, free]).max() <= 1e-10
    H = hessian(network, parameters, states, minibatch.levels)[:, free][:, :, free]
    assert np.linalg.eigvalsh(H).min() > 0


def test_equilibrium_holds_a_finer_tolerance() -> None:
    rng = np.random.default_rng(0)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 8)
    states = equilibrium(SMALL, parameters, minibatch, tolerance=1e-14)
    assert np.abs(force(SMALL, parameters, states, minibatch.levels)[:, ~SMALL.clamped]).max() <= 1e-14


BOTTOMLESS = Network((Module("a", 1, 1.0, 0.0), Module("y", 1, 1.0, 0.0)), (Coupling("a", "y", 1),), "y")
"""Without a quartic term: coupled more strongly than its stiffness, its energy has no bottom."""


def coupled(strength: float, bias: float) -> Parameters:
    one = np.ones((1, 1))
    return Parameters((strength * one,), (one,), (one,), np.array([[bias, 0.0]]))


def test_no_equilibrium_is_an_error_that_names_the_sample() -> None:
    network = Network((Module("x", 1, clamped=True), *BOTTOMLESS), (*BOTTOMLESS.couplings, Coupling("x", "a", 1)), "y")
    strong, one = coupled(2.0, 0.0), np.ones((1, 1))
    parameters = Parameters((*strong.U, one), (*strong.V, one), (one, one), np.zeros((1, 3)))
    minibatch = Minibatch(np.array([[0.0], [1.0]]), np.zeros(2, dtype=np.int64))
    with pytest.raises(ParameterError) as error:
        equilibrium(network, parameters, minibatch)
    assert re.fullmatch(
        r"Sample 1 finds no equilibrium, a force of (nan|inf|\S+e\+\d+) is left where 1e-10 is allowed: "
        "weaken the couplings, or raise stiffness or quartic",
        str(error.value),
    )


@pytest.mark.parametrize("call", [equilibrium, oracle])
def test_a_saddle_is_an_error(call: object) -> None:
    minibatch = Minibatch(np.zeros((1, 0)), np.zeros(1, dtype=np.int64), np.ones((1, 1)))
    with pytest.raises(ParameterError) as error:
        call(BOTTOMLESS, coupled(2.0, 0.0), minibatch)  # at rest at 0, on the ridge
    assert str(error.value) == (
        "The equilibrium is not a minimum of the energy: weaken the couplings, or raise stiffness or quartic"
    )


def test_oracle_refuses_states_on_a_saddle() -> None:
    minibatch = Minibatch(np.zeros((1, 0)), np.zeros(1, dtype=np.int64), np.ones((1, 1)))
    with pytest.raises(ParameterError, match="not a minimum"):
        oracle(BOTTOMLESS, coupled(2.0, 0.0), minibatch, np.zeros((1, 2)))


def test_oracle_needs_a_target() -> None:
    minibatch = Minibatch(np.zeros((1, 5)), np.zeros(1, dtype=np.int64))
    with pytest.raises(DataError) as error:
        oracle(SMALL, Parameters.zeros(SMALL), minibatch)
    assert str(error.value) == "The oracle needs a minibatch with a target, not None"


def test_oracle_is_the_slope_of_the_mean_cost_at_equilibrium() -> None:
    rng = np.random.default_rng(3)
    parameters, minibatch = uneven(SMALL, rng, 0.8), minibatch_for(SMALL, rng, 5)
    assert set(minibatch.levels) == {0, 1}

    def mean_cost(vector: np.ndarray) -> float:
        states = equilibrium(SMALL, parameters.replace(vector), minibatch, tolerance=1e-13)
        return float(cost(SMALL, states, minibatch.target).mean())

    trainable = parameters.map(np.ones_like)
    trainable.bias[:, SMALL.clamped] = 0
    vector, slope = parameters.vector(), np.zeros(parameters.vector().size)
    for element in np.flatnonzero(trainable.vector()):
        step = np.zeros_like(vector)
        step[element] = 1e-4
        slope[element] = (mean_cost(vector + step) - mean_cost(vector - step)) / 2e-4
    np.testing.assert_allclose(oracle(SMALL, parameters, minibatch).vector(), -slope, atol=1e-8)


def test_oracle_takes_given_states() -> None:
    rng = np.random.default_rng(3)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 5)
    states = equilibrium(SMALL, parameters, minibatch)
    given_states = oracle(SMALL, parameters, minibatch, states)
    assert np.array_equal(given_states.vector(), oracle(SMALL, parameters, minibatch).vector())
    elsewhere = oracle(SMALL, parameters, minibatch, np.where(SMALL.clamped, states, 0.5 * states))
    assert not np.allclose(elsewhere.vector(), given_states.vector())
