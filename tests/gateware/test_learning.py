"""Updates on the device, against the golden model, bit for bit; and each exactly once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from equipoise.drivers.faulty import Faults, FaultyTransport, Mischief
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.layout import Layout
from equipoise.drivers.learning import join_memory
from equipoise.drivers.session import Session
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.trainer import train
from equipoise.sim.board import BoardTransport, SimulatedBoard
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError, DeviceError
from equipoise.substrate.learning import Memory, Rule
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.phases import Estimator, Schedule

from ..conftest import SMALL
from ..host.runs import Silent, small_run
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

NETWORK = Network(
    (Module("x", 6, clamped=True), Module("y", 5), Module("z", 4)),
    (Coupling("x", "y", 6), Coupling("y", "z", 3), Coupling("x", "z", 2)),
    "z",
    levels=2,
)
RULE = Rule((0.002, 0.001, 0.003), 0.01, 0.005, 0.02, 3, 1e-3)


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
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to make a failure smaller would take minutes
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


def test_a_repeated_run_learns_once(board_build) -> None:
    """Over a wire that loses and doubles frames: what is executed again is answered, not repeated."""
    wire = FaultyTransport(
        BoardTransport(SimulatedBoard(board_build)), Mischief(Faults(drop=0.1, duplicate=0.3), seed=1)
    )
    golden, rng = Golden(lanes=SMALL.lanes), np.random.default_rng(0)
    memory = random_memory(NETWORK, rng, 0.5)
    with GatewareDevice(Session(wire)) as device:
        for substrate in (device, golden):
            substrate.configure(NETWORK)
            substrate.restore(memory)
        for seed in range(6):
            minibatch, schedule = random_minibatch(NETWORK, rng, 3), Schedule(2, 1, 0.25, seed=seed)
            for substrate in (device, golden):
                substrate.learn(minibatch, schedule, RULE, outputs=False)
        assert device.holds(golden.memory())
        assert device.health()["device_replays"] > 0
        assert device.session.read("updates")[0] == 6


def test_a_run_that_does_not_learn_leaves_parameters_and_takes_the_momentum(sim_device) -> None:
    """What was asked for and not run does not make a later run learn, and one request makes one run learn."""
    device, rng = sim_device(), np.random.default_rng(0)
    memory, minibatch = random_memory(NETWORK, rng, 0.5), random_minibatch(NETWORK, rng, 3)
    device.configure(NETWORK)
    device.restore(memory)
    free = Schedule(2, 1, 0.25, Estimator.FREE)
    device.run(minibatch, free)
    assert device.holds(memory)
    device.learn(minibatch, Schedule(2, 1, 0.25), RULE)
    learned = device.memory()
    assert not np.array_equal(learned.fine, memory.fine)
    device.run(minibatch, free)
    assert device.holds(learned)
    device.run(minibatch, Schedule(2, 1, 0.25))
    assert not device.holds(learned) and np.array_equal(join(device, NETWORK).fine, learned.fine)
    with pytest.raises(DeviceError, match=r"has no momentum: call restore before learn"):
        device.learn(minibatch, Schedule(2, 1, 0.25), RULE)
    device.session.write("rule", 0, [1])
    device.configure(NETWORK)
    assert not device.session.read("rule")[0]


def join(device, network) -> Memory:
    """All that a device holds, asked of the session."""
    layout = Layout(network, device.session.hello.geometry)
    areas = [*layout.memory_areas(True), *layout.memory_areas(False)]
    words = {area: device.session.read(area.space, area.row, area.count) for area in areas}
    return join_memory(layout, words)


def test_rules_that_do_not_fit(sim_device) -> None:
    rng = np.random.default_rng(0)
    minibatch, memory = random_minibatch(NETWORK, rng, 2), random_memory(NETWORK, rng, 0.5)
    for device in (sim_device(), Golden(lanes=SMALL.lanes)):
        device.configure(NETWORK)
        device.restore(memory)
        for wrong, message in (
            ({"gain_rate": 0.3}, r"^gain_rate of a rule must be from 0 to 0\.2499\d+ on this device, not 0\.3$"),
            ({"decay": -1e-3}, r"^decay of a rule must be from 0 to "),
            ({"weight_rates": (0.0,)}, r"^A rule must have a weight rate for each of 3 modules, not 1$"),
            ({"momentum": 8}, r"^momentum of a rule must be an integer from 0 to 7, not 8$"),
            ({"soft": 0.0}, r"^soft of a rule must be finite and above 0, not 0\.0$"),
        ):
            with pytest.raises(CapabilityError, match=message):
                device.learn(minibatch, Schedule(2, 1, 0.25), replace(RULE, **wrong))
        with pytest.raises(CapabilityError, match="must have 1 to 128 samples, not 129"):
            device.learn(random_minibatch(NETWORK, rng, 129), Schedule(2, 1, 0.25), RULE)
        with pytest.raises(CapabilityError, match="must contrast: estimator symmetric or one-sided, not free"):
            device.learn(minibatch, Schedule(2, 1, 0.25, Estimator.FREE), RULE)
        assert device.holds(memory)


def test_training_ends_as_on_the_golden_model(tmp_path, sim_device) -> None:
    ends = []
    for name in ("golden", "gateware"):
        run = small_run(tmp_path, name, steps=5, update="device", checkpoint_every=2)
        run.config = replace(run.config, edm=replace(run.config.edm, levels=4))
        run.config = replace(run.config, network=replace(run.config.network, levels=4), temperature=1e-4)
        train(run, Golden(lanes=SMALL.lanes) if name == "golden" else sim_device(), Silent())
        checkpoint, _ = load_checkpoint(run)
        ends.append(np.concatenate([checkpoint.parameters.vector(), checkpoint.momentum]))
    assert np.array_equal(*ends)
