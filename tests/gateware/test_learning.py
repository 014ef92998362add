"""Updates on the device, against the golden model, bit for bit; and each exactly once."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from equipoise.sim.golden import Golden
from equipoise.substrate.learning import Memory, Rule
from equipoise.substrate.phases import Estimator, Schedule

from ..networks import SIZES, networks, random_minibatch, random_parameters

SCHEDULES = st.builds(
    Schedule,
    free_steps=st.integers(1, 4),
    nudged_steps=st.integers(1, 3),
    beta=st.sampled_from([1 / 16, 0.3]),
    estimator=st.sampled_from([Estimator.SYMMETRIC, Estimator.ONE_SIDED]),
    temperature=st.sampled_from([0.0, 1e-3]),
    seed=st.integers(0, 2**64 - 1),
)


@st.composite
def rules(draw, network) -> Rule:
    rate = st.sampled_from([0.0, 2.0**-18, 1e-4, 3e-3, 0.06])
    soft, decay = st.sampled_from([1e-9, 1e-3, 0.05, 1e9]), st.sampled_from([0.0, 1e-6, 0.01])
    rates = tuple(draw(rate) for _ in network.modules)
    return Rule(rates, draw(rate), draw(rate), draw(soft), draw(st.integers(0, 7)), draw(decay))


def random_memory(network, rng, size: float) -> Memory:
    """Momentum of any size, up to all that there is."""
    begun = Memory.of(network, random_parameters(network, rng, size))
    momentum = rng.normal(size=len(begun.fine)) * 2.0 ** rng.uniform(0, 31, len(begun.fine))
    bound = 2**30 - 1
    guards = rng.integers(-3, 4, len(begun.fine))
    return Memory(np.clip(begun.fine + guards, -131068, 131068), np.clip(momentum, -bound, bound).astype(np.int64))


@pytest.mark.parametrize(("lanes", "contexts"), [(1, 1), (2, 3), (8, 1), (5, 2)])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), network=networks(), schedule=SCHEDULES, size=SIZES, seed=st.integers(0, 2**32))
def test_every_parameter_and_momentum(sim_device, lanes, contexts, data, network, schedule, size, seed) -> None:
    device, golden = sim_device(lanes, contexts), Golden(lanes=lanes)
    rng = np.random.default_rng(seed)
    memory = random_memory(network, rng, size)
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.restore(memory)
    for _ in range(2):
        minibatch, rule = random_minibatch(network, rng, data.draw(st.integers(1, 5))), data.draw(rules(network))
        ran, expected = (substrate.learn(minibatch, schedule, rule) for substrate in (device, golden))
        np.testing.assert_array_equal(ran.outputs, expected.outputs)
        assert (ran.residual, ran.saturations, ran.clips) == (expected.residual, expected.saturations, expected.clips)
        held, right = device.memory(), golden.memory()
        np.testing.assert_array_equal(held.fine, right.fine)
        np.testing.assert_array_equal(held.momentum, right.momentum)
        assert device.holds(right)
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())
