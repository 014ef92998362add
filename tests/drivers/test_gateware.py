"""The gateware driver on a peer that runs minibatches from tables and memories, against the golden model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError, DataError, DeviceError, NetworkError
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule
from equipoise.substrate.protocol import SPACES, WRITE_REQUEST, Operation, Status

from .machine import Machine
from .networks import networks
from .peer import GEOMETRY, MemoryDevice, Wire

SMALL = Network(
    (Module("x", 4, clamped=True), Module("y", 3), Module("z", 2)),
    (Coupling("x", "y", 5), Coupling("y", "z", 2)),
    "z",
    levels=3,
)
SHORT = Schedule(free_steps=5, nudged_steps=3)


def open_device(geometry: Geometry = GEOMETRY, **wire) -> tuple[GatewareDevice, MemoryDevice, Wire]:
    peer = MemoryDevice(geometry, on_run=lambda peer: Machine(peer).run())
    line = Wire(peer, **wire)
    return GatewareDevice(Session(line, retries=1000)), peer, line


def draw(network: Network, batch: int, seed: int = 0, size: float = 0.5) -> tuple[Parameters, Minibatch]:
    """Parameters and a minibatch; at size 1 and above saturations are common."""
    rng = np.random.default_rng(seed)
    parameters = Parameters.zeros(network).map(lambda leaf: np.clip(rng.normal(0, size, leaf.shape), -1.9, 1.9))
    parameters.bias[:, network.clamped] = 0
    minibatch = Minibatch(
        np.clip(rng.normal(0, 1, (batch, network.inputs)), -3.9, 3.9),
        rng.integers(0, network.levels, batch),
        np.clip(rng.normal(0, 1.5, (batch, network.outputs)), -3.9, 3.9),
    )
    return parameters, minibatch


def ready(network: Network = SMALL, batch: int = 5, **wire):
    device, peer, line = open_device(**wire)
    parameters, minibatch = draw(network, batch)
    device.configure(network)
    device.write(parameters)
    return device, peer, line, parameters, minibatch


@settings(max_examples=60, deadline=None)
@given(
    network=networks(),
    lanes=st.sampled_from([1, 3, 8]),
    contexts=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
    size=st.sampled_from([0.2, 1.5]),
    batch=st.integers(1, 5),
    estimator=st.sampled_from(Estimator),
)
def test_a_minibatch_gives_what_the_golden_model_gives(network, lanes, contexts, seed, size, batch, estimator):
    parameters, minibatch = draw(network, batch, seed, size)
    schedule = Schedule(4, 3, beta=0.3, estimator=estimator)
    device, _, _ = open_device(Geometry(lanes=lanes, contexts=contexts, neurons=64, rows=1024, groups=128, levels=4))
    golden = Golden()
    for substrate in (device, golden):
        substrate.configure(network)
        substrate.write(parameters)
    ran, expected = device.run(minibatch, schedule), golden.run(minibatch, schedule)

    np.testing.assert_array_equal(ran.outputs, expected.outputs)
    assert ran.residual == expected.residual
    assert ran.saturations == expected.saturations
    if estimator is Estimator.FREE:
        assert ran.contrast is None
    else:
        np.testing.assert_array_equal(ran.contrast.vector(), expected.contrast.vector())
    last = (batch - 1) // contexts * contexts
    held, states = device.states(), golden.states()
    for name in ("free", "last"):
        np.testing.assert_array_equal(held[name], states[name][last:])
    np.testing.assert_array_equal(device.read().vector(), golden.read().vector())


def test_a_minibatch_is_one_round_trip():
    device, _, line, _, minibatch = ready()
    sent = len(line.sent)
    device.run(minibatch, SHORT)
    assert len(line.sent) == sent + 1


def test_only_levels_of_the_minibatch_are_read():
    device, peer, _, _, minibatch = ready()
    peer.executed.clear()
    device.run(Minibatch(minibatch.clamped, np.full(5, 1), minibatch.target), SHORT)
    reads = {payload for operation, payload in peer.executed if operation == Operation.READ}
    spaces = sorted(payload[0] for payload in reads)
    assert spaces == [0, 8, 9, 10, 11], "counters, outputs, and each kind of sum once"
    peer.executed.clear()
    device.run(Minibatch(minibatch.clamped, minibatch.levels), Schedule(5, 3, estimator=Estimator.FREE))
    assert sorted(payload[0] for operation, payload in peer.executed if operation == Operation.READ) == [0, 8]


def test_cycles_steps_and_seconds():
    device, _, _, _, minibatch = ready()
    result = device.run(minibatch, SHORT)
    assert (result.cycles, result.relax_cycles) == (1000, 900)
    assert result.relax_steps == 3 * (5 + 2 * 3)
    assert result.seconds.keys() == {"device", "link"}
    assert min(result.seconds.values()) >= 0


def test_a_long_residual():
    device, peer, _, _, minibatch = ready()
    run = peer.on_run

    def run_on(peer: MemoryDevice) -> None:
        run(peer)
        peer.set_register("residual_low", 5)
        peer.set_register("residual_high", 3)

    peer.on_run = run_on
    assert device.run(minibatch, SHORT).residual == (3 * 2**32 + 5) / 2**13 / (5 * 5)


def test_a_bad_wire_changes_nothing():
    device, _, _, _, minibatch = ready()
    expected = device.run(minibatch, SHORT)
    peer = MemoryDevice(on_run=lambda peer: Machine(peer).run())
    line = Wire(peer, faults=0.1, seed=4)
    bad = GatewareDevice(Session(line, deadline=0.0, retries=1000))
    parameters, _ = draw(SMALL, 5)
    # A run may take long before it counts as lost; on this wire, what is not answered at once is lost.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equipoise.drivers.gateware_runs.SLOWEST_CLOCK", 1e30)
        bad.configure(SMALL)
        bad.write(parameters)
        results = [bad.run(minibatch, SHORT) for _ in range(5)]
    for result in results:
        np.testing.assert_array_equal(result.contrast.vector(), expected.contrast.vector())
    assert peer.register("runs") == 5
    health = bad.health()
    assert health["device_runs"] == 5
    assert health["host_retries"] > 0
    assert health["host_crc_errors"] > 0


def writes(peer: MemoryDevice) -> list[tuple[int, int, int]]:
    """Space, row and bytes of each write since the last call."""
    found = [
        (*WRITE_REQUEST.unpack_from(payload), len(payload) - WRITE_REQUEST.size)
        for operation, payload in peer.executed
        if operation == Operation.WRITE
    ]
    peer.executed.clear()
    return found


def test_only_what_changed_is_written():
    device, peer, _, parameters, minibatch = ready()
    device.read()
    writes(peer)
    device.write(parameters)
    device.read()
    assert writes(peer) == []
    parameters.bias[2, 5] += 0.5
    parameters.V[1][:] += 0.25
    device.write(parameters)
    np.testing.assert_allclose(device.read().vector(), parameters.vector(), atol=2**-13)
    assert writes(peer) == [(4, 17, 2 * 8), (6, 2 * 64 + 5, 2)]

    device.run(minibatch, SHORT)
    assert writes(peer) == [(0, 4, 11 * 4), (7, 0, 5 * 7 * 2)]
    device.run(minibatch, SHORT)
    assert writes(peer) == [(7, 0, 5 * 7 * 2)]
    device.run(minibatch, Schedule(5, 4, seed=2**33 + 1))
    assert writes(peer) == [(0, 8, 7 * 4), (7, 0, 5 * 7 * 2)]


def test_after_an_error_all_is_written_again(monkeypatch):
    device, peer, _, parameters, minibatch = ready()
    device.run(minibatch, SHORT)
    read = peer._read
    outputs = SPACES["outputs"].code
    with monkeypatch.context() as patch:
        patch.setattr(peer, "_read", lambda asked: (Status.BAD_ADDRESS, b"") if asked[0] == outputs else read(asked))
        with pytest.raises(DeviceError, match=r"^wire: refused READ of outputs, rows 0 to 9 with BAD_ADDRESS"):
            device.run(minibatch, SHORT)
    with pytest.raises(DeviceError) as raised:
        device.run(minibatch, SHORT)
    assert str(raised.value) == "wire: has no parameters: call write first"
    writes(peer)
    device.write(parameters)
    device.run(minibatch, SHORT)
    written = writes(peer)
    assert len(written) == 1 + 2 * 3 + 2
    assert written[-2] == (0, 4, 11 * 4)


def test_a_training_step_is_one_burst(monkeypatch):
    device, peer, _, parameters, minibatch = ready()
    device.run(minibatch, SHORT)
    burst, sent = device.session.burst, []
    monkeypatch.setattr(device.session, "burst", lambda requests: sent.append(len(requests)) or burst(requests))
    parameters.V[1][:] += 0.25
    device.write(parameters)
    writes(peer)
    before = device.run(minibatch, SHORT)
    assert len(sent) == 1
    assert writes(peer)[0] == (4, 17, 2 * 8)
    other, _, _ = open_device()
    other.configure(SMALL)
    other.write(parameters)
    np.testing.assert_array_equal(other.run(minibatch, SHORT).outputs, before.outputs)


def test_configuring_again_forgets_the_parameters():
    device, _, _, _, minibatch = ready()
    device.configure(SMALL)
    with pytest.raises(DeviceError, match=r"^wire: has no parameters: call write first$"):
        device.run(minibatch, SHORT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda device: device.write(Parameters.zeros(SMALL)), "wire: has no network: call configure first"),
        (lambda device: device.read(), "wire: has no network: call configure first"),
        (lambda device: device.run(draw(SMALL, 1)[1], SHORT), "wire: has no network: call configure first"),
        (lambda device: device.states(), "wire: has no network: call configure first"),
    ],
)
def test_calls_before_configure(call, message):
    with pytest.raises(DeviceError) as raised:
        call(open_device()[0])
    assert str(raised.value) == message


def test_states_before_a_run():
    with pytest.raises(DeviceError) as raised:
        ready()[0].states()
    assert str(raised.value) == "wire: has no states: run a minibatch first"


def test_tables_that_do_not_keep_are_found():
    device, peer, _ = open_device()
    write = peer._write

    def worn(code, row, data, repeated):
        answer = write(code, row, data, repeated)
        peer.memory["ends"][2] |= 1 << 20
        return answer

    peer._write = worn
    with pytest.raises(DeviceError) as raised:
        device.configure(SMALL)
    assert str(raised.value) == (
        "wire: did not keep row 2 of ends: wrote 0xc0000008, read 0xc0100008; check the board, and its build"
    )
    with pytest.raises(DeviceError, match="has no network"):
        device.read()


def test_a_run_that_did_not_happen_is_found():
    device, peer, _, _, minibatch = ready()
    device.run(minibatch, SHORT)
    peer.on_run = None
    with pytest.raises(DeviceError) as raised:
        device.run(minibatch, Schedule(5, 4))
    assert str(raised.value) == (
        "wire: counted 33 relaxation steps of the 39 asked for: let no other program use it, then open it again"
    )


def test_a_minibatch_beyond_the_limit():
    device, _, _, _, _ = ready()
    assert device.identity.batch_limit == 1024 // 7
    with pytest.raises(CapabilityError) as raised:
        device.run(draw(SMALL, 147)[1], SHORT)
    assert str(raised.value) == "A minibatch for wire: must have at most 146 samples, not 147: split it"
    assert len(device.run(draw(SMALL, 146)[1], Schedule(1, 1)).outputs) == 146


def test_networks_and_samples_that_do_not_fit():
    device, _, _ = open_device()
    with pytest.raises(CapabilityError, match=r"^The network needs 65 neurons, the device has 64: "):
        device.configure(Network((Module("x", 65),), (), "x"))
    with pytest.raises(NetworkError, match=r"^Stiffness of module 'x' must be at most 3.99988 on this device, not 4$"):
        device.configure(Network((Module("x", 2, stiffness=4.0),), (), "x"))
    device, _, _, _, minibatch = ready()
    minibatch.clamped[2, 1] = 4.0
    with pytest.raises(DataError, match="sample 2, neuron 1"):
        device.run(minibatch, SHORT)


def test_identity_and_health():
    device, peer, _ = open_device()
    identity = device.identity
    assert (identity.address, identity.kind) == ("wire:", "gateware")
    assert (identity.uid, identity.build) == (b"board 01".hex(), b"build 01".hex())
    assert identity.batch_limit == 256
    assert identity.details["geometry"]["lanes"] == 4
    assert identity.details["formats"]["weight"] == "Q1.14"
    assert identity.details["clock"] == 50_000_000
    peer.set_register("replays", 2**32 - 1)
    device._opened_at = device._device_counters()
    peer.set_register("replays", 4)
    assert device.health()["device_replays"] == 5, "counters wrap"


def test_closes_twice():
    device, _, line = open_device()
    with device:
        pass
    device.close()
    assert line.closed == 2
    with pytest.raises(DeviceError, match=r"^wire: is closed"):
        device.health()


def test_a_network_without_couplings_is_written_twice():
    network = Network((Module("x", 2, clamped=True), Module("y", 3)), (), "y")
    device, _, _ = open_device()
    device.configure(network)
    for bias in (0.5, 0.25):
        parameters = Parameters.zeros(network)
        parameters.bias[:, ~network.clamped] = bias
        device.write(parameters)
        np.testing.assert_array_equal(device.read().vector(), parameters.vector())


def test_a_run_that_is_not_ours_or_not_done_is_told():
    for more in (1, -1):
        device, peer, _, parameters, minibatch = ready()
        device.run(minibatch, SHORT)
        peer.set_register("runs", 1 + more)
        with pytest.raises(DeviceError) as raised:
            device.run(minibatch, SHORT)
        assert str(raised.value) == (
            f"wire: counted {2 + more} runs since its reset of the 2 asked for: "
            "let no other program use it, then open it again"
        )
        device.write(parameters)
        device.run(minibatch, SHORT)


def test_initial_states_are_refused():
    device, _, _, _, minibatch = ready()
    assert not device.identity.warm_start
    with pytest.raises(CapabilityError, match=r"^wire: begins every run from zero: leave out initial states$"):
        device.run(replace(minibatch, initial=np.zeros((5, SMALL.neurons))), SHORT)
