"""Gateware against golden model, bit for bit: random networks, parameters, inputs, schedules and temperatures.

The gateware runs in Verilator behind its own link; one build serves all networks of a geometry.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

from ..networks import SCHEDULES, SIZES, networks, random_minibatch, random_parameters


@pytest.mark.parametrize(("lanes", "contexts"), [(1, 1), (2, 3), (8, 1), (5, 2)])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(network=networks(), schedule=SCHEDULES, size=SIZES, seed=st.integers(0, 2**32), batch=st.integers(1, 7))
def test_every_state_sum_and_counter(sim_device, lanes, contexts, network, schedule, size, seed, batch) -> None:
    check(sim_device(lanes, contexts), network, schedule, size, seed, batch)


@pytest.mark.parametrize(("lanes", "contexts"), [(1, 1), (2, 2)])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(network=networks(), schedule=SCHEDULES, size=SIZES, seed=st.integers(0, 2**32), batch=st.integers(1, 7))
def test_a_compact_device(sim_device, lanes, contexts, network, schedule, size, seed, batch) -> None:
    check(sim_device(lanes, contexts, 1), network, replace(schedule, temperature=0.0), size, seed, batch)


def test_a_compact_device_has_no_noise_and_says_so(sim_device) -> None:
    network = Network((Module("x", 2, clamped=True), Module("y", 2)), (Coupling("x", "y", 1),), "y")
    for device in (sim_device(1, 1, 1), Golden(compact=1)):
        assert not device.identity.thermal
        device.configure(network)
        device.write(Parameters.zeros(network))
        with pytest.raises(CapabilityError, match=r"has no thermal noise, so temperature must be 0, not 0\.001"):
            device.run(Minibatch(np.zeros((1, 2)), np.zeros(1, np.int64), np.zeros((1, 2))), Schedule(temperature=1e-3))


@pytest.mark.parametrize(("lanes", "contexts"), [(1, 1), (2, 3), (8, 1), (5, 2)])
def test_rank_64_takes_several_passes(sim_device, lanes, contexts) -> None:
    modules = (Module("x", 7, clamped=True), Module("y", 9), Module("z", 5, quartic=0.0))
    network = Network(modules, (Coupling("x", "y", 64), Coupling("z", "y", 64), Coupling("x", "z", 63)), "z", levels=2)
    check(sim_device(lanes, contexts), network, Schedule(6, 4, temperature=1e-3), size=0.2, seed=1, batch=4)


def test_the_noise_of_sixteen_contexts_is_started_before_any_is_drawn(sim_device) -> None:
    """They are started one after the other, and with the smallest network the first step has its forces soonest."""
    network = Network((Module("x", 1, clamped=True), Module("y", 1)), (Coupling("x", "y", 1),), "y")
    check(sim_device(1, 16), network, Schedule(1, 1, temperature=1e-2), size=0.2, seed=1, batch=17)


def check(device, network, schedule, size, seed, batch) -> None:
    """Run the same on the gateware and on the golden model."""
    geometry = device.identity.details["geometry"]
    contexts = geometry["contexts"]
    rng = np.random.default_rng(seed)
    parameters, minibatch = random_parameters(network, rng, size), random_minibatch(network, rng, batch)
    golden = Golden(geometry["compact"])
    results = []
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
        results.append(substrate.run(minibatch, schedule))
    ran, expected = results

    np.testing.assert_array_equal(ran.outputs, expected.outputs)
    assert ran.saturations == expected.saturations
    assert ran.residual == expected.residual
    if schedule.estimator is Estimator.FREE:
        assert ran.contrast is None and expected.contrast is None
    else:
        np.testing.assert_array_equal(ran.contrast.vector(), expected.contrast.vector())
    last = (batch - 1) // contexts * contexts
    held, all_states = device.states(), golden.states()
    for name in ("free", "last"):
        np.testing.assert_array_equal(held[name][: batch - last], all_states[name][last:])
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())
