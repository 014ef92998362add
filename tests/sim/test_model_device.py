"""The model device, through the driver, against the golden model itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.requests import run_request
from equipoise.drivers.session import Session
from equipoise.sim.golden import Golden
from equipoise.sim.model_device import ModelTransport, model_device
from equipoise.substrate.errors import ResetError
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.learning import Memory, Rule
from equipoise.substrate.phases import Estimator, Schedule
from equipoise.substrate.protocol import Status

from ..drivers.networks import networks
from ..drivers.test_gateware import SMALL, draw


@settings(max_examples=60, deadline=None)
@given(
    network=networks(),
    lanes=st.sampled_from([1, 3, 8]),
    contexts=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
    size=st.sampled_from([0.2, 1.5]),
    kind=st.sampled_from([(0, 0.0), (0, 1e-3), (1, 0.0)]),
    batch=st.integers(1, 5),
    estimator=st.sampled_from(Estimator),
)
def test_a_minibatch_gives_what_the_golden_model_gives(network, lanes, contexts, seed, size, kind, batch, estimator):
    parameters, minibatch = draw(network, batch, seed, size)
    compact, temperature = kind
    schedule = Schedule(4, 3, 0.3, estimator, temperature, seed)
    geometry = Geometry(lanes, contexts, neurons=64, rows=1024, groups=128, levels=4, compact=compact)
    device, golden = GatewareDevice(Session(ModelTransport(model_device(geometry)))), Golden(compact)
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
    for _ in range(2):
        ran, expected = device.run(minibatch, schedule), golden.run(minibatch, schedule)
        np.testing.assert_array_equal(ran.outputs, expected.outputs)
        assert (ran.residual, ran.saturations) == (expected.residual, expected.saturations)
        if estimator is not Estimator.FREE:
            np.testing.assert_array_equal(ran.contrast.vector(), expected.contrast.vector())
    last = (batch - 1) // contexts * contexts
    held, states = device.states(), golden.states()
    for name in ("free", "last"):
        np.testing.assert_array_equal(held[name], states[name][last:])
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())


@settings(max_examples=60, deadline=None)
@given(
    network=networks(),
    lanes=st.sampled_from([1, 3, 8]),
    seed=st.integers(0, 2**32),
    estimator=st.sampled_from([Estimator.SYMMETRIC, Estimator.ONE_SIDED]),
    momentum=st.integers(0, 7),
    decay=st.sampled_from([0.0, 0.01]),
)
def test_it_learns_as_the_golden_model_does(network, lanes, seed, estimator, momentum, decay):
    parameters, _ = draw(network, 1, seed, 0.5)
    schedule = Schedule(4, 3, 0.3, estimator, seed=seed)
    rates = tuple(0.001 * (number + 1) for number in range(len(network.modules)))
    rule = Rule(rates, 0.01, 0.02, 1e-2, momentum, decay)
    geometry = Geometry(lanes, 2, neurons=64, rows=1024, groups=128, levels=4)
    device, golden = GatewareDevice(Session(ModelTransport(model_device(geometry)))), Golden(lanes=lanes)
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.restore(Memory.of(network, parameters))
    for count in (3, 5):
        minibatch = draw(network, count, seed + count, 0.5)[1]
        ran, expected = device.learn(minibatch, schedule, rule), golden.learn(minibatch, schedule, rule, outputs=False)
        assert (ran.residual, ran.saturations, ran.clips) == (expected.residual, expected.saturations, expected.clips)
        assert ran.outputs is not None and expected.outputs is None
        held, right = device.memory(), golden.memory()
        np.testing.assert_array_equal(held.fine, right.fine)
        np.testing.assert_array_equal(held.momentum, right.momentum)
        assert device.holds(right)
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())
    right.momentum[0] ^= 1
    assert not device.holds(right)


def test_a_run_without_a_network_is_given_up():
    (answer,) = Session(ModelTransport(model_device())).burst([run_request(0.0)])
    assert answer.status is Status.ABANDONED


def test_after_a_reset_nothing_is_left():
    wire = ModelTransport(model_device())
    device = GatewareDevice(Session(wire))
    device.configure(SMALL)
    parameters, minibatch = draw(SMALL, 3)
    device.write(parameters)
    device.run(minibatch, Schedule(2, 2))
    wire.reset()
    with pytest.raises(ResetError, match=r"^golden: was reset before "):
        device.run(minibatch, Schedule(2, 2))
    assert wire.device.register("runs") == 0
    assert wire.device.memory["weights"].any()
