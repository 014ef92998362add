"""The LUCIDAC as a substrate, against lucipy's emulated one behind a loopback port."""

import os
import pty

import numpy as np
import pytest
from lucipy.simulator import Emulation

from equipoise.drivers.lucidac.address import LUCIDAC, open_lucidac
from equipoise.drivers.lucidac.device import LucidacDevice
from equipoise.drivers.lucidac.link import JsonLines
from equipoise.substrate.energy import equilibrium, oracle
from equipoise.substrate.errors import CapabilityError, DeviceError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

from .lucidac_emulator import Script, emulated
from .peer import serve
from .test_lucidac_machine import MAC, Scripted, block, state
from .test_transports import Terminal

SOLVER = 2e-3
"""Error of the emulator's solver in a state, which begins at zero and ends below 1; its tolerance is 1e-3."""


def network(hidden: int, output: int, rank: int, quartic: float = 0.0, levels: int = 1) -> Network:
    modules = (
        Module("x", 3, clamped=True),
        Module("h", hidden, quartic=quartic),
        Module("y", output, quartic=0.0),
    )
    return Network(
        modules, (Coupling("x", "h", 2), Coupling("h", "y", rank), Coupling("x", "y", 2)), "y", levels=levels
    )


FOUR = network(2, 2, 2, levels=2)
FOUR_CUBIC = network(2, 2, 2, quartic=1.0, levels=2)
SEVEN = network(4, 3, 1)


def problem(net: Network, seed: int, batch: int = 3) -> tuple[Parameters, Minibatch]:
    rng = np.random.default_rng(seed)
    parameters = Parameters.random(net, rng)
    parameters.bias[:, ~net.clamped] = rng.normal(0, 0.1, (net.levels, int((~net.clamped).sum())))
    clamped, target = rng.normal(0, 0.3, (batch, net.inputs)), rng.normal(0, 0.3, (batch, net.outputs))
    return parameters, Minibatch(clamped, rng.integers(0, net.levels, batch), target)


@pytest.fixture(scope="module")
def place():
    with emulated() as place:
        yield place


@pytest.mark.parametrize("beta", [0.1, 1 / 16, 1 / 64])
@pytest.mark.parametrize("net", [FOUR, FOUR_CUBIC, SEVEN], ids=["four", "four with quartics", "seven of rank one"])
def test_the_gradient_is_the_oracles(place, net, beta):
    parameters, minibatch = problem(net, seed=1)
    with open_lucidac(place) as device:
        device.configure(net)
        device.write(parameters)
        result = device.run(minibatch, Schedule(100, 80, beta))
        true = oracle(net, device.read(), minibatch)
        assert cosine(result.contrast, true) >= 0.999
        assert norm_ratio(result.contrast, true) == pytest.approx(1, abs=0.05)
        assert result.residual < SOLVER
        states = device.states()
        np.testing.assert_allclose(states["free"], equilibrium(net, parameters, minibatch), atol=SOLVER)
        np.testing.assert_array_equal(result.outputs, states["free"][:, net.slices["y"]])
        assert not np.array_equal(states["last"], states["free"])
        health = device.health()
        assert (health["runs"], health["samples"], health["phases"], health["overloads"]) == (1, 3, 9, 0)
        assert 0 < health["largest"] <= 1


def test_scale_is_only_how_states_are_shown(place):
    parameters, minibatch = problem(FOUR_CUBIC, seed=2)
    found = []
    for scale in (2.0, 6.0):
        with open_lucidac(place, scale) as device:
            device.configure(FOUR_CUBIC)
            device.write(parameters)
            found.append((device.run(minibatch, Schedule(100, 80, 0.1)), device.health()["largest"]))
    (two, largest), (six, smaller) = found
    assert largest == pytest.approx(3 * smaller, rel=0.05)
    np.testing.assert_allclose(two.outputs, six.outputs, atol=SOLVER)
    assert cosine(two.contrast, six.contrast) > 0.999


def test_free_and_one_sided_runs(place):
    parameters, minibatch = problem(FOUR, seed=3)
    with open_lucidac(place) as device:
        device.configure(FOUR)
        device.write(parameters)
        free = device.run(Minibatch(minibatch.clamped, minibatch.levels), Schedule(estimator=Estimator.FREE))
        assert free.contrast is None
        states = device.states()
        np.testing.assert_array_equal(states["free"], states["last"])
        sided = device.run(minibatch, Schedule(200, 100, 0.1, Estimator.ONE_SIDED))
        assert cosine(sided.contrast, oracle(FOUR, parameters, minibatch)) > 0.9
        assert sided.seconds["device"] > 0
        assert device.health()["phases"] == 3 + 6


def test_an_overload_is_named(place):
    parameters, minibatch = problem(FOUR, seed=4)
    parameters.bias[:, 6] = -1.7  # the last neuron of y
    with open_lucidac(place) as device:
        device.configure(FOUR)
        device.write(parameters)
        with pytest.raises(DeviceError) as caught:
            device.run(minibatch, Schedule())
        assert str(caught.value).startswith(
            f"lucidac:{place} overloads: integrator 3 (neuron 1 of module 'y') reached 1."
        )
        assert str(caught.value).endswith(
            " of 1 in the free phase of sample 0: open it with a scale above 1, or weaken the couplings"
        )
        assert device.health()["overloads"] == 1
        with pytest.raises(DeviceError, match="has no states: run a minibatch first"):
            device.states()
    with open_lucidac(place, scale=4.0) as device:
        device.configure(FOUR)
        device.write(parameters)
        device.run(minibatch, Schedule())


def scripted(run) -> LucidacDevice:
    return LucidacDevice(JsonLines(Scripted(run=run).wire))


def test_both_nudged_phases_begin_where_the_free_one_ended():
    machine = Scripted()
    net = Network((Module("y", 2, quartic=0.0),), (), "y")

    def answer(sent: dict) -> bytes:
        count = sum(earlier["type"] == "start_run" for earlier in machine.wire.sent)
        machine.run = [("run_data", {"data": [[0.1 * count, -0.2 * count]] * 100}), state("DONE")]
        return machine.answer(sent)

    machine.wire = Script(answer)
    device = LucidacDevice(JsonLines(machine.wire), scale=2.0)
    device.configure(net)
    device.write(Parameters.zeros(net))
    minibatch = Minibatch(np.zeros((1, 0)), np.array([0]), np.zeros((1, 2)))
    result = device.run(minibatch, Schedule(beta=0.25))
    circuits = [sent["msg"]["config"]["/0"] for sent in machine.wire.sent if sent["type"] == "set_circuit"]
    initial = [[element["ic"] for element in circuit["/M0"]["elements"][:2]] for circuit in circuits]
    np.testing.assert_allclose(initial, [[0, 0], [-0.1, 0.2], [-0.1, 0.2]], atol=1e-12)  # an integrator negates
    leaks = [circuit["/C"]["elements"][0] for circuit in circuits]
    np.testing.assert_allclose(leaks, [1 / 1.25, 1.0, 0.75 / 1.25])
    np.testing.assert_allclose(device.states()["free"], [[0.2, -0.4]])
    np.testing.assert_allclose(device.states()["last"], [[0.6, -1.2]])
    np.testing.assert_allclose(result.contrast.bias, [[(0.4 - 0.6) / 0.5, (-0.8 + 1.2) / 0.5]])


def test_a_computation_that_halts_is_an_overload():
    device = scripted([block(40), state("DONE")])
    device.configure(Network((Module("y", 2, quartic=0.0),), (), "y"))
    device.write(Parameters.zeros(Network((Module("y", 2, quartic=0.0),), (), "y")))
    with pytest.raises(DeviceError) as caught:
        device.run(Minibatch(np.zeros((1, 0)), np.array([0])), Schedule(estimator=Estimator.FREE))
    assert str(caught.value) == (
        "lucidac:script halted after 40 of 74 samples in the free phase of sample 0, so an element overloads (largest "
        "seen: integrator 1, neuron 1 of module 'y', 0.5 of 1): open it with a scale above 1, or weaken the couplings"
    )


def test_what_comes_too_early_or_is_not_there():
    device = scripted([])
    parameters, minibatch = problem(FOUR, seed=5)
    for early in (lambda: device.write(parameters), device.read, lambda: device.run(minibatch, Schedule())):
        with pytest.raises(DeviceError, match=r"^lucidac:script has no (network|parameters): call configure"):
            early()
    device.configure(FOUR)
    with pytest.raises(DeviceError, match="has no parameters: call configure and write first"):
        device.read()
    device.write(parameters)
    with pytest.raises(CapabilityError) as caught:
        device.run(minibatch, Schedule(temperature=0.5))
    assert str(caught.value) == "A LUCIDAC has no source of noise: temperature must be 0, not 0.5"
    with pytest.raises(CapabilityError) as caught:
        device.run(minibatch, Schedule(nudged_steps=1))
    assert str(caught.value) == (
        "A phase of 13.3 us is too short for 8 samples of 4 channels, 32 us: raise the steps or dt"
    )
    many = Minibatch(np.zeros((4097, 3)), np.zeros(4097, np.int64), np.zeros((4097, 2)))
    with pytest.raises(CapabilityError, match="must have at most 4096 samples, not 4097"):
        device.run(many, Schedule())


def test_who_it_is():
    device = LucidacDevice(JsonLines(Scripted(firmware="1.3.0").wire), scale=2.0)
    found = device.identity
    assert (found.kind, found.uid, found.build) == ("lucidac", MAC, "firmware 1.3.0")
    assert not found.thermal
    assert not found.deterministic
    assert found.details == {"scale": 2.0, "integrators": 8, "multipliers": 4, "lanes": 32, "k0": 10_000}
    device.configure(SEVEN)
    assert {"used_integrators": 8, "used_lanes": 30}.items() <= device.identity.details.items()


class Console:
    """An emulated LUCIDAC at its USB port: it echoes, and prints of what it does."""

    def __init__(self) -> None:
        self._emulation = Emulation()
        self._pending = b""

    def take(self, data: bytes) -> bytes:
        *lines, self._pending = (self._pending + data).split(b"\n")
        answers = [self._emulation.handle_request(line.decode(), return_always_list=True) for line in lines]
        return b"".join(
            line + b"\r\nRun starts.\r\n" + "".join(answer).encode()
            for line, answer in zip(lines, answers, strict=True)
        )


def test_a_usb_port():
    parameters, minibatch = problem(FOUR, seed=6, batch=1)
    far, near = pty.openpty()
    path = os.ttyname(near)
    thread = serve(Console(), Terminal(far))
    with open_lucidac(path, scale=2.0) as device:
        assert device.identity.address == f"lucidac:{path}"
        device.configure(FOUR)
        device.write(parameters)
        result = device.run(minibatch, Schedule(100, 80, 0.1))
        assert cosine(result.contrast, oracle(FOUR, parameters, minibatch)) >= 0.999
        assert device.health()["skipped_lines"] == device.health()["requests"] == 8
        os.close(near)
    thread.join(10)
    os.close(far)


def test_addresses(place):
    assert LUCIDAC.form == "lucidac:HOST:PORT[?scale=SCALE]"
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(DeviceError) as caught:
            open_lucidac(place, scale)
        assert str(caught.value) == f"Scale of lucidac:{place} must be finite and above 0, not {scale:g}"
    with pytest.raises(DeviceError, match=r"^serial:lab7 cannot be opened at 115200 baud"):
        open_lucidac("lab7")
