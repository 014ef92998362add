"""Optimisers, against torch's arithmetic written out, and what they clip."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from equipoise.host.config import TrainConfig
from equipoise.host.optimisers import Moments, Optimiser, clip_gradient, clip_parameters, learning_rate
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters

NETWORK = Network((Module("x", 3, clamped=True), Module("y", 2)), (Coupling("x", "y", 2),), "y", levels=2)
CONFIG = TrainConfig("test", "digits", NETWORK, steps=100, warm_up=10, learning_rate=0.1)


def draw(seed: int, scale: float = 1.0) -> Parameters:
    zeros = Parameters.zeros(NETWORK)
    return zeros.replace(scale * np.random.default_rng(seed).normal(size=zeros.vector().size))


def run(config: TrainConfig, directions: list[Parameters]) -> np.ndarray:
    optimiser = Optimiser(config, NETWORK)
    parameters, moments = draw(0), Moments.zeros(optimiser.size)
    for direction in directions:
        parameters, moments = optimiser.update(parameters, direction, moments)
    assert moments.step == len(directions)
    return parameters.vector()


def test_the_rate_rises_then_falls_to_a_hundredth():
    rates = [learning_rate(CONFIG, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.01) and rates[9] == rates[10] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.001)


def test_sgd_goes_along_the_direction_with_its_rates():
    config = replace(CONFIG, optimiser="sgd", gain_rate=2.0, bias_rate=0.0)
    direction = draw(1)
    rates = Parameters(
        tuple(np.ones_like(u) for u in direction.U),
        tuple(np.ones_like(v) for v in direction.V),
        tuple(np.full_like(g, 2.0) for g in direction.gain),
        np.zeros_like(direction.bias),
    )
    assert np.allclose(run(config, [direction]), draw(0).vector() + 0.01 * rates.vector() * direction.vector())


def test_the_rate_by_size_is_smaller_where_more_neurons_drive_a_bus():
    config = replace(CONFIG, optimiser="sgd", rate_by_size=True)  # 3 neurons at the clamped end, 2 outputs
    direction = draw(1)
    rates = direction.map(np.ones_like)
    rates = Parameters((rates.U[0] * 2 / 3,), rates.V, rates.gain, rates.bias)
    assert np.allclose(run(config, [direction]), draw(0).vector() + 0.01 * rates.vector() * direction.vector())


def test_momentum_averages():
    first, second = draw(1), draw(2)
    a, b = first.vector(), second.vector()
    expected = draw(0).vector() + 0.01 * 0.1 * a + 0.02 * (0.09 * a + 0.1 * b)
    assert np.allclose(run(replace(CONFIG, optimiser="momentum"), [first, second]), expected)


def test_adam_is_algorithm_1():
    directions = [draw(seed) for seed in (1, 2, 3)]
    m = v = 0.0
    expected = draw(0).vector()
    for t, direction in enumerate(directions, start=1):
        g = direction.vector()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = expected + 0.01 * t * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert np.allclose(run(CONFIG, directions), expected, rtol=1e-12)


def test_a_gradient_is_clipped_to_its_limit():
    direction = draw(1, 10.0)
    norm = np.linalg.norm(direction.vector())
    clipped, before, bit = clip_gradient(direction, 1.0)
    assert (before, bit) == (pytest.approx(norm), True)
    assert np.allclose(clipped.vector(), direction.vector() / norm)
    for limit in (0.0, 2 * norm):
        assert clip_gradient(direction, limit)[2] is False


def test_parameters_are_clipped_to_their_formats_and_counted():
    parameters, count = clip_parameters(draw(1).map(lambda leaf: np.where(leaf > 0, 100.0, leaf)))
    assert count == int((draw(1).vector() > 0).sum())
    assert parameters.U[0].max() == FORMATS.weight.limit
    assert parameters.gain[0].max() == FORMATS.gain.limit
    assert parameters.bias.max() == FORMATS.site.limit
