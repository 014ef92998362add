"""The path of the equilibrium in beta: derivatives against differences, and bounds against a fine grid."""

import numpy as np
import pytest

from equipoise.host.studies.bias_bound import random_network
from equipoise.host.studies.expansion import enclose, expand, follow
from equipoise.host.studies.gradients import Reference, local_slopes, relative_error, settling_steps
from equipoise.substrate.energy import energy, equilibrium
from equipoise.substrate.errors import CapabilityError, ParameterError


@pytest.fixture(params=[0, 1, 2])
def problem(request):
    return random_network(np.random.default_rng(request.param))


@pytest.fixture
def start(problem):
    return follow(problem, equilibrium(problem.network, problem.parameters, problem.minibatch), 0.0)


def test_derivatives(problem, start):
    step = 1e-3
    at = expand(problem, start, 0.0)
    plus, minus = (follow(problem, start, sign * step) for sign in (1, -1))
    assert np.allclose((plus - minus) / (2 * step), at.first, atol=1e-4)
    assert np.allclose((plus - 2 * start + minus) / step**2, at.second, atol=1e-3)
    ends = [expand(problem, states, sign * step) for states, sign in ((plus, 1), (minus, -1))]
    assert np.allclose((ends[0].second - ends[1].second) / (2 * step), at.third, atol=1e-3 * np.abs(at.third).max())


def test_bounds_hold_all_along(problem, start):
    beta = Reference.of(problem).softest / 8
    box = enclose(problem, start, beta)
    for sign in (1, -1):
        states = start
        for share in np.linspace(0, 1, 41):
            states = follow(problem, states, sign * share * beta)
            at = expand(problem, states, sign * share * beta)
            for value, path, scalars in zip((at.first, at.second, at.third), box.path, box.scalars, strict=True):
                assert np.all(np.linalg.norm(value, axis=1) <= path)
                assert np.all(np.linalg.norm(value, axis=1) <= scalars)
            assert np.all(box.softest <= at.softest)
            assert np.all(np.abs(states[:, ~problem.network.clamped]).max(1) <= box.largest)


def test_no_bound_beyond_where_the_nudge_softens_the_network(problem, start):
    beta = 2 * float(problem.network.stiffness.max())
    with pytest.raises(ParameterError, match="lower beta, or weaken the couplings"):
        enclose(problem, start, beta)


def test_local_slopes_are_those_of_the_energy(problem, start):
    found, step = local_slopes(problem, start), 1e-5
    rng = np.random.default_rng(3)
    direction = problem.parameters.map(lambda leaf: rng.normal(size=leaf.shape))
    direction.bias[:, problem.network.clamped] = 0

    def height(sign):
        moved = problem.parameters.map(lambda leaf, other: leaf + sign * step * other, direction)
        return energy(problem.network, moved, start, problem.minibatch.levels).mean()

    assert -(height(1) - height(-1)) / (2 * step) == pytest.approx(found.vector() @ direction.vector(), rel=1e-6)


def test_settling(problem):
    steps = settling_steps(problem.network, 0.5, 1e-6)
    assert (1 - 0.5 * problem.network.dt) ** steps <= 1e-6 < (1 - 0.5 * problem.network.dt) ** (steps - 1)
    with pytest.raises(CapabilityError, match="takes more than 65535 steps"):
        settling_steps(problem.network, 1e-5, 1e-9)


def test_relative_error(problem):
    assert relative_error(problem.parameters.map(lambda leaf: 1.5 * leaf), problem.parameters) == pytest.approx(0.5)
