"""Gateware against golden model, bit for bit: random networks, parameters, inputs, schedules and temperatures.

The gateware runs in Verilator behind its own link; one build serves all networks of a geometry.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.sim.golden import Golden
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

GEOMETRIES = [(1, 1), (2, 3), (8, 1), (5, 2)]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Two to eight modules of unequal sizes, ranks up to 20 (several passes on few lanes), some without couplings."""
    count = draw(st.integers(2, 8))
    output = draw(st.integers(0, count - 1))
    modules = [
        Module(
            f"m{number}",
            draw(st.integers(1, 9)),
            stiffness=draw(st.sampled_from([0.5, 1.0, 3.0])),
            quartic=draw(st.sampled_from([0.0, 1.0, 3.9])),
            clamped=number != output and draw(st.booleans()),
        )
        for number in range(count)
    ]
    pairs = [
        (a, b) for a in range(count) for b in range(count) if a < b and not (modules[a].clamped and modules[b].clamped)
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8)) if pairs else []
    couplings = []
    for a, b in chosen:
        ends = (a, b) if draw(st.booleans()) else (b, a)
        couplings.append(Coupling(f"m{ends[0]}", f"m{ends[1]}", draw(st.sampled_from([1, 2, 3, 8, 20]))))
    return Network(
        tuple(modules),
        tuple(couplings),
        f"m{output}",
        dt=2.0 ** -draw(st.integers(0, 6)),
        levels=draw(st.integers(1, 4)),
    )


def parameters_for(network: Network, rng: np.random.Generator, size: float) -> Parameters:
    """Random parameters; at size 1 and above saturations are common."""

    def normal(*shape: int, scale: float, limit: float) -> np.ndarray:
        return np.clip(rng.normal(0, scale, shape), -limit, limit)

    sizes = {module.name: module.size for module in network}
    ends = [(sizes[c.a], sizes[c.b], c.rank) for c in network.couplings]
    bias = normal(network.levels, network.neurons, scale=0.5, limit=3.9)
    bias[:, network.clamped] = 0
    return Parameters(
        tuple(normal(a, k, scale=size, limit=1.99) for a, _, k in ends),
        tuple(normal(b, k, scale=size, limit=1.99) for _, b, k in ends),
        tuple(normal(network.levels, k, scale=1.5, limit=7.9) for *_, k in ends),
        bias,
    )


@pytest.mark.parametrize(("lanes", "contexts"), GEOMETRIES)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    network=networks(),
    seed=st.integers(0, 2**63),
    size=st.sampled_from([0.1, 0.5, 1.5]),
    batch=st.integers(1, 7),
    estimator=st.sampled_from(Estimator),
    free_steps=st.integers(1, 8),
    nudged_steps=st.integers(1, 5),
    beta=st.sampled_from([1 / 1024, 1 / 16, 0.3]),
    temperature=st.sampled_from([0.0, 1e-3, 0.3]),
)
def test_every_state_sum_and_counter(
    sim_device, lanes, contexts, network, seed, size, batch, estimator, free_steps, nudged_steps, beta, temperature
) -> None:
    rng = np.random.default_rng(seed)
    parameters = parameters_for(network, rng, size)
    minibatch = Minibatch(
        np.clip(rng.normal(0, 1, (batch, network.inputs)), -3.9, 3.9),
        rng.integers(0, network.levels, batch),
        np.clip(rng.normal(0, 1.5, (batch, network.outputs)), -3.9, 3.9),
    )
    schedule = Schedule(free_steps, nudged_steps, beta, estimator, temperature, seed)
    device, golden = sim_device(lanes, contexts), Golden()
    results = []
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
        results.append(substrate.run(minibatch, schedule))
    ran, expected = results

    np.testing.assert_array_equal(ran.outputs, expected.outputs)
    assert ran.saturations == expected.saturations
    assert ran.residual == expected.residual
    if estimator is Estimator.FREE:
        assert ran.contrast is None and expected.contrast is None
    else:
        np.testing.assert_array_equal(ran.contrast.vector(), expected.contrast.vector())
    last = (batch - 1) // contexts * contexts
    held, all_states = device.states(), golden.states()
    for name in ("free", "last"):
        np.testing.assert_array_equal(held[name][: batch - last], all_states[name][last:])
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())
