"""Mapping: what lucipy's equations make of the circuit is the network's force; what does not fit is refused."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lucipy.circuits import Circuit as Configured
from lucipy.simulator import Simulation

from equipoise.drivers.lucidac.circuit import FAST, INTEGRATORS
from equipoise.drivers.lucidac.mapping import FOLLOW, Mapping, Phase
from equipoise.drivers.lucidac.plan import plan
from equipoise.substrate.energy import force
from equipoise.substrate.errors import CapabilityError, DataError, ParameterError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters


def linear(*sizes: int, pairs: list[tuple[int, int, int]], **settings) -> Network:
    """Free modules without quartics, couplings of (a, b, rank), the last module being the output."""
    modules = tuple(Module(f"m{place}", size, quartic=0.0) for place, size in enumerate(sizes))
    couplings = tuple(Coupling(f"m{a}", f"m{b}", rank) for a, b, rank in pairs)
    return Network(modules, couplings, modules[-1].name, **settings)


@st.composite
def fitting(draw: st.DrawFn) -> Network:
    """Networks that fit: one to four free modules, perhaps quartics, perhaps an input; often with buses."""
    if draw(st.booleans()):  # those that need buses
        a, b = draw(st.sampled_from([(3, 4), (4, 3), (2, 5), (5, 2)]))
        return linear(a, b, pairs=[(0, 1, 1)], levels=draw(st.integers(1, 2)))
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    quartic = draw(st.sampled_from([0.0, 0.5, 4.0]))
    modules = [
        Module(
            f"m{place}",
            size,
            stiffness=draw(st.sampled_from([0.5, 1.0, 3.0])),
            quartic=quartic if place == 0 and size < 3 else 0.0,
        )
        for place, size in enumerate(sizes)
    ]
    modules.append(Module("input", 2, clamped=True))
    names = [module.name for module in modules]
    pairs = [(a, b) for place, a in enumerate(names) for b in names[:place]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=6))
    couplings = tuple(
        Coupling(*(pair if draw(st.booleans()) else pair[::-1]), draw(st.integers(1, 3))) for pair in chosen
    )
    network = Network(tuple(modules), couplings, draw(st.sampled_from(names[:-1])), levels=draw(st.integers(1, 2)))
    try:
        plan(network)
    except CapabilityError:
        assume(False)
    return network


@settings(max_examples=60, deadline=None)
@given(network=fitting(), scale=st.sampled_from([1.0, 0.5, 3.0]), seed=st.integers(0, 99))
def test_the_circuit_computes_the_force(network, scale, seed):
    rng = np.random.default_rng(seed)
    parameters = Parameters.zeros(network).map(lambda leaf: rng.uniform(-1, 1, leaf.shape))
    parameters.bias[:, network.clamped] = 0
    mapping, level = Mapping(network, scale), network.levels - 1
    free, used = len(mapping.plan.neurons), mapping.plan.integrators
    clamped, target = rng.uniform(-0.5, 0.5, network.inputs), rng.uniform(-1, 1, network.outputs)
    beta = 0.25
    nudge = rng.choice([0.0, beta, -beta])
    machine = np.zeros(INTEGRATORS)
    machine[:free] = rng.uniform(-1, 1, free)

    mapping.check(parameters)
    bias = mapping.bias(parameters, level, clamped)
    config = mapping.circuit(parameters, level, bias, target, Phase(nudge, machine[:used]), beta).config()
    simulation = Simulation(Configured().load(config), realtime=True)
    # An integrator that is a bus is where it follows to.
    machine[free:used] = simulation.rhs(0, machine)[free:used] / (FAST * FOLLOW)
    assert np.all(np.abs(machine) <= 1)
    slope = simulation.rhs(0, machine) / (FAST * mapping.pace(beta))

    states = mapping.states(machine[:used], clamped)
    wanted = force(network, parameters, states[None], np.array([level]))[0]
    output = network.slices[network.output]
    wanted[output] += nudge * (target - states[output])
    np.testing.assert_allclose(scale * slope[:free], wanted[mapping.plan.neurons], atol=1e-10)
    np.testing.assert_allclose(slope[free:], 0, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(network=fitting(), seed=st.integers(0, 99))
def test_a_circuit_begins_where_the_phase_does(network, seed):
    mapping = Mapping(network, 2.0)
    initial = np.random.default_rng(seed).uniform(-1, 1, mapping.plan.integrators)
    zeros = Parameters.zeros(network)
    circuit = mapping.circuit(zeros, 0, np.zeros(len(mapping.plan.neurons)), None, Phase(0.0, initial), 0.0)
    begun = Simulation(Configured().load(circuit.config())).solve_ivp(1e-9).y[:, 0]
    np.testing.assert_allclose(begun, np.append(initial, np.zeros(INTEGRATORS - len(initial))), atol=1e-6)


@pytest.mark.parametrize(
    ("network", "integrators", "lanes", "buses"),
    [
        (linear(1, 1, 1, 1, 1, pairs=[(a, b, 1) for b in range(5) for a in range(b)]), 5, 30, []),  # dense
        (linear(2, 2, pairs=[(0, 1, 2)]), 4, 16, []),
        (linear(3, 3, pairs=[(0, 1, 1)]), 6, 30, []),
        (linear(1, 7, pairs=[(0, 1, 1)]), 8, 30, []),
        (linear(2, 5, pairs=[(0, 1, 1)]), 8, 32, [7]),  # one way over an integrator, the other dense
        (linear(4, 3, pairs=[(0, 1, 1)]), 8, 30, [7, 8]),  # the eighth integrator and a multiplier
    ],
)
def test_as_few_buses_as_fit(network, integrators, lanes, buses):
    found = plan(network)
    assert (found.integrators, found.lanes) == (integrators, lanes)
    assert [bus for action in found.actions for bus in action.buses] == buses


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            linear(5, 4, pairs=[(0, 1, 1)]),
            "A LUCIDAC has 8 integrators, one for each neuron that is not clamped, and this network needs 9: "
            "use smaller modules",
        ),
        (
            Network((Module("h", 3), Module("y", 2, quartic=0.0)), (Coupling("h", "y", 1),), "y"),
            "A LUCIDAC has 4 multipliers, two for each neuron with a quartic, and this network needs 6: "
            "set quartic = 0 in all but 2 neurons",
        ),
        (
            linear(2, 2, 2, pairs=[(0, 1, 1), (1, 2, 1), (0, 2, 1)]),
            "A LUCIDAC has 32 lanes, and this network needs 36, with 6 buses of rank channels: "
            "use smaller modules, fewer couplings or lower ranks",
        ),
        (
            linear(4, 3, pairs=[(0, 1, 2)]),
            "A LUCIDAC has 32 lanes, and this network needs 38, with 5 buses of rank channels: "
            "use smaller modules, fewer couplings or lower ranks",
        ),
    ],
)
def test_what_does_not_fit(network, message):
    with pytest.raises(CapabilityError) as caught:
        Mapping(network, 1.0)
    assert str(caught.value) == message


def test_a_coupling_beyond_the_lanes():
    network = linear(1, 2, pairs=[(0, 1, 1)], levels=2)
    parameters = Parameters.zeros(network)
    parameters.U[0][:], parameters.V[0][:], parameters.gain[0][1] = 2.0, 2.0, 3.0
    with pytest.raises(ParameterError) as caught:
        Mapping(network, 1.0).check(parameters)
    assert str(caught.value) == (
        "Coupling 'm0-m1' needs a coefficient of -12 at level 1, and a lane of a LUCIDAC has +-10: "
        "lower its U, V or gain"
    )


def test_a_bias_beyond_the_lanes():
    network = linear(1, 2, pairs=[(0, 1, 1)])
    mapping, parameters = Mapping(network, 2.0), Parameters.zeros(network)
    parameters.bias[0, 2] = -20.5
    bias = mapping.bias(parameters, 0, np.zeros(0))
    with pytest.raises(DataError) as caught:
        mapping.circuit(parameters, 0, bias, None, Phase(0.0, np.zeros(3)), 0.0)
    assert str(caught.value) == (
        "A sample drives neuron 1 of module 'm1' with a bias of -20.5, and a LUCIDAC has +-20: "
        "open it with a larger scale, or weaken the couplings"
    )


def test_leaks_stay_on_plain_lanes_and_cubes_within_ten():
    network = Network((Module("y", 2, stiffness=(1.0, 3.5), quartic=(1.0, 0.0)),), (), "y", dt=0.125)
    mapping = Mapping(network, 1.0)
    assert mapping.pace(0.5) == 1 / 4
    assert mapping.seconds(80, 0.5) == pytest.approx(80 * 0.125 * 4 / 10_000)
    assert Mapping(network, 10.0).pace(0.5) == 1 / 10
    assert mapping.name(1) == "neuron 1 of module 'y'"
    assert Mapping(linear(2, 5, pairs=[(0, 1, 1)]), 1.0).name(7) == "bus 0 of coupling 'm0-m1'"
