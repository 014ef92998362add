"""The reverse process on the gateware against the golden model, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Schedule
from equipoise.substrate.reverse import Draws, Program

from ..networks import SIZES, random_minibatch, random_parameters


@st.composite
def sampling_networks(draw: st.DrawFn) -> Network:
    """A sampled module, an output module of its size, a hidden one, and up to two more clamped ones, in any order."""
    size = draw(st.integers(1, 9))
    modules = [Module("x", size, clamped=True), Module("y", size, quartic=draw(st.sampled_from([0.0, 1.0])))]
    modules += [Module("h", draw(st.integers(1, 9)))]
    modules += [Module(name, draw(st.integers(1, 5)), clamped=True) for name in "kl"[: draw(st.integers(0, 2))]]
    couplings = [Coupling("x", "h", 3), Coupling("h", "y", draw(st.sampled_from([1, 8]))), Coupling("y", "x", 2)]
    couplings += [Coupling(module.name, "h", 2) for module in modules[3:]]
    levels = draw(st.integers(1, 4))
    return Network(tuple(draw(st.permutations(modules))), tuple(couplings), "y", dt=0.25, levels=levels)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Up to six rows with any factors: from 2 on, saturations are common."""
    rows = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    factors = draw(st.sampled_from([0.3, 0.8, 2.0])) * rng.uniform(-1, 1, (rows, 4))
    factors[0, :3] = factors[1, 2] = 0
    factors[rng.random(rows) < 0.5, 3] = 0
    levels = rng.integers(0, 2**16, rows - 1)
    return Program(
        "x", levels, factors, draw(st.integers(1, 4)), draw(st.sampled_from([0.0, 0.0, 0.01])), draw(st.booleans())
    )


@pytest.mark.parametrize(("lanes", "contexts"), [(2, 3), (8, 1), (5, 2)])
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    network=sampling_networks(),
    program=programs(),
    size=SIZES,
    seed=st.integers(0, 2**64 - 1),
    batch=st.integers(1, 7),
    first=st.sampled_from([0, 5, 2**16 - 7]),
)
def test_every_sample_state_and_counter(sim_device, lanes, contexts, network, program, size, seed, batch, first):
    check(sim_device(lanes, contexts), network, program, size, seed, batch, first)


def test_the_noise_of_sixteen_contexts_is_started_before_any_is_drawn(sim_device):
    """They are started one after the other; an update draws for the first at once."""
    network = Network((Module("x", 1, clamped=True), Module("y", 1)), (Coupling("x", "y", 1),), "y", dt=0.25)
    factors = np.array([[0, 0, 0, 0.5], [0.7, 0.5, 0, 0.4]])
    check(sim_device(1, 16), network, Program("x", np.array([0]), factors, 1, 0.01), 0.3, 1, 17, 0)


def test_training_knows_nothing_of_it(sim_device):
    """A minibatch with noise, before and after a reverse process whose samples have other numbers, is the same."""
    device, golden = sim_device(2, 3), Golden()
    modules = (Module("x", 3, clamped=True), Module("y", 3))
    network = Network(modules, (Coupling("x", "y", 2),), "y", dt=0.25, levels=2)
    rng = np.random.default_rng(0)
    parameters, minibatch = random_parameters(network, rng, 0.3), random_minibatch(network, rng, 5)
    schedule = Schedule(4, 3, temperature=0.01, seed=3)
    factors = np.array([[0, 0, 0, 0.5], [0.7, 0.5, 0, 0.1], [0.7, 0.3, 0.6, 0]])
    program, draws = Program("x", np.array([1, 0]), factors, 3, warm=True), Draws(np.zeros((5, 0)), 1, 700)
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
    sampled = golden.generate(program, draws).outputs
    learnt = golden.run(minibatch, schedule)
    for _ in range(2):
        ran = device.run(minibatch, schedule)
        np.testing.assert_array_equal(ran.contrast.vector(), learnt.contrast.vector())
        np.testing.assert_array_equal(ran.outputs, learnt.outputs)
        np.testing.assert_array_equal(device.generate(program, draws).outputs, sampled)


def test_a_compact_device_refuses(sim_device):
    network = Network((Module("x", 2, clamped=True), Module("y", 2)), (Coupling("x", "y", 1),), "y")
    program = Program("x", np.array([0]), np.array([[0, 0, 0, 1.0], [1.0, 0, 0, 0]]), 1)
    for device in (sim_device(1, 1, 1), Golden(compact=1)):
        assert not device.identity.generates
        device.configure(network)
        device.write(Parameters.zeros(network))
        with pytest.raises(CapabilityError, match="cannot run the reverse process on its own: let the host do it"):
            device.generate(program, Draws(np.zeros((1, 0))))


def check(device, network, program, size, seed, batch, first) -> None:
    rng = np.random.default_rng(seed)
    program = replace(program, levels=program.levels % network.levels)
    parameters = random_parameters(network, rng, size)
    told = sum(module.size for module in network if module.clamped and module.name != "x")
    draws = Draws(np.clip(rng.normal(0, 1, (batch, told)), -3.9, 3.9), seed, first)
    golden = Golden()
    results = []
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
        results.append(substrate.generate(program, draws))
    ran, expected = results
    np.testing.assert_array_equal(ran.outputs, expected.outputs)
    assert ran.saturations == expected.saturations
    assert ran.residual == expected.residual
    contexts = device.identity.details["geometry"]["contexts"]
    last = (batch - 1) // contexts * contexts
    held, all_states = device.states(), golden.states()
    for name in ("free", "last"):
        np.testing.assert_array_equal(held[name][: batch - last], all_states[name][last:])
