"""Training where the device changes the parameters: what it reaches, what it survives, and how both ways meet."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.drivers.faulty import Faults, FaultyTransport, Mischief
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host import audit
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.devices import open_device
from equipoise.host.learning import step_rule
from equipoise.host.optimisers import Moments
from equipoise.host.run import Run
from equipoise.host.supervision import Supervised
from equipoise.host.trainer import train
from equipoise.sim.golden import Golden
from equipoise.sim.model_device import ModelTransport, model_device
from equipoise.substrate.errors import CapabilityError, DeviceError, ForgottenError, RunError
from equipoise.substrate.learning import GUARD_BITS, Memory
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.protocol import Operation

from ..faults.wires import Clock, within
from .runs import Silent, small_config, small_run

STEPS = {"steps": 13, "checkpoint_every": 4, "evaluate_every": 6, "average": 0.9}


def learning_run(folder, name="run", **overrides) -> Run:
    return small_run(folder, name, **STEPS | {"update": "device"} | overrides)


def result(run: Run) -> tuple[np.ndarray, list, list]:
    """All that a finished run must have in common with one that nothing happened to."""
    checkpoint, damaged = load_checkpoint(run)
    assert checkpoint is not None and not damaged and checkpoint.step == run.config.steps
    records = run.metrics()
    losses = [(record["step"], record["loss"]) for record in records if record["kind"] == "step"]
    errors = [(record["step"], record["error"]) for record in records if record["kind"] == "evaluation"]
    held = [checkpoint.parameters.vector(), checkpoint.average.vector(), checkpoint.momentum]
    return np.concatenate(held), losses, errors


def same(found, expected) -> bool:
    """Of a device that is audited the loss is known in more steps."""
    return np.array_equal(found[0], expected[0]) and set(found[1]) >= set(expected[1]) and found[2] == expected[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = learning_run(tmp_path_factory.mktemp("whole"))
    with Golden() as device:
        train(run, device, Silent())
    return result(run)


def test_the_denoising_error_falls(tmp_path):
    run = learning_run(tmp_path, steps=60, evaluate_every=60, free_steps=30, nudged_steps=12)
    with Golden() as device:
        train(run, device, Silent())
    first, last = (record for record in run.metrics() if record["kind"] == "evaluation")
    assert sum(last["error"]) < 0.9 * sum(first["error"])


def test_the_loss_is_told_where_outputs_are_read(whole):
    _, losses, errors = whole
    assert [step for step, _ in losses] == [10, 13]
    assert [step for step, _ in errors] == [0, 6, 12, 13]


@pytest.mark.parametrize("learned", [1, 4, 5, 9, 13])
def test_a_run_cut_off_anywhere_ends_the_same(tmp_path, whole, learned):
    class CutOff(Golden):
        left = learned

        def learn(self, *arguments, **options):
            done = super().learn(*arguments, **options)
            self.left -= 1
            if not self.left:
                raise SystemExit
            return done

    run = learning_run(tmp_path)
    with CutOff() as device, pytest.raises(SystemExit):
        train(run, device, Silent())
    with Golden() as device:
        train(Run.open(run.path), device, Silent())
    assert same(result(run), whole)


def on_a_wire(board, faults: Faults, seed: int = 0, only=None):
    mischief = Mischief(faults, seed, only=only)
    return Supervised(lambda: GatewareDevice(Session(FaultyTransport(ModelTransport(board), mischief)))), mischief


def test_over_a_bad_wire_each_step_is_learned_once(tmp_path, whole, monkeypatch):
    Clock().install(monkeypatch.setattr)
    board, run = model_device(), learning_run(tmp_path)
    device, mischief = on_a_wire(board, Faults(drop=0.05, flip=0.05, duplicate=0.05, truncate=0.02, merge=0.02))
    train(run, device, Silent())
    assert mischief.count > 20 and board.register("replays") > 0 and not device.reconnects
    assert board.memory["updates"][0, 0] == STEPS["steps"]
    assert same(result(run), whole)


@pytest.mark.parametrize("seed", range(4))
def test_after_a_reset_it_goes_back_to_the_last_checkpoint(tmp_path, whole, monkeypatch, seed):
    Clock().install(monkeypatch.setattr)
    run, silent = learning_run(tmp_path), Silent()
    device, mischief = on_a_wire(model_device(), Faults(reset=0.08, cut=0.04), seed, within(Operation.RUN))
    train(run, device, silent)
    assert device.reconnects and mischief.count
    assert any("goes on from the checkpoint of step" in warning for warning in silent.warnings)
    assert same(result(run), whole)


def test_a_flipped_bit_of_a_table_is_not_learned_from(tmp_path, whole, monkeypatch):
    board, run, silent = model_device(), learning_run(tmp_path), Silent()
    struck = []
    inner = board.on_run

    def strike(device):
        if device.register("runs") == 40 and not struck:
            struck.append(device.memory["ends"][0, 0])
            device.memory["sites"][13, 0] ^= 1 << 20
        inner(device)

    board.on_run = strike
    device, _ = on_a_wire(board, Faults())
    train(run, device, silent)
    assert struck
    assert same(result(run), whole)


def test_what_the_device_learns_is_audited(tmp_path, monkeypatch):
    board, run = model_device(), learning_run(tmp_path)
    inner = board.on_run

    def wrong(device):
        learns = device.memory["rule"][0, 0]
        inner(device)
        if learns:
            device.memory["weight_momentum"][3, 1] ^= 1

    board.on_run = wrong
    monkeypatch.setattr(audit, "AUDIT_EVERY", 1)
    device, _ = on_a_wire(board, Faults())
    with pytest.raises(DeviceError, match=r"learned in step 1 what the golden model does not"):
        train(run, device, Silent())


def test_a_device_that_always_forgets_is_given_up(tmp_path):
    class Forgetful(Golden):
        def learn(self, *arguments, **options):
            raise ForgottenError("golden: has forgotten")

    silent = Silent()
    with Forgetful() as device, pytest.raises(ForgottenError):
        train(learning_run(tmp_path), device, silent)
    assert len(silent.warnings) == 9


@pytest.mark.parametrize(("first", "then"), [("host", "device"), ("device", "host")])
def test_a_run_goes_on_the_other_way(tmp_path, first, then):
    run = small_run(tmp_path, **STEPS | {"update": first})

    class Stopping(Golden):
        runs = 0

        def run(self, *arguments):
            self._count()
            return super().run(*arguments)

        def learn(self, *arguments, **options):
            self._count()
            return super().learn(*arguments, **options)

        def _count(self):
            self.runs += 1
            if self.runs == limit:
                raise KeyboardInterrupt

    limit = 12
    with Stopping() as device:
        train(run, device, Silent())
    before, _ = load_checkpoint(run)
    assert 0 < before.step < STEPS["steps"]
    opened = Run.open(run.path)
    opened.switch_update(then)
    again = Run.open(run.path)
    assert again.config.update == then

    loaded = []

    class Noting(Golden):
        def write(self, parameters):
            loaded.append(parameters.vector())
            super().write(parameters)

        def restore(self, memory):
            loaded.append(memory)
            super().restore(memory)

    with Noting() as device:
        train(again, device, Silent())
    found, _ = load_checkpoint(again)
    assert found.step == STEPS["steps"]
    assert (found.momentum is None) == (then == "host")
    network = run.config.network
    if then == "host":
        assert any(isinstance(each, np.ndarray) and np.array_equal(each, before.parameters.vector()) for each in loaded)
        assert found.moments.since == before.step
    else:
        memory = next(each for each in loaded if isinstance(each, Memory))
        off = memory.parameters(network).vector() - before.parameters.vector()
        assert np.abs(off).max() <= 2.0**-15  # half a guard bit, of gains
        assert not memory.momentum.any()


def test_guard_bits_and_momentum_are_in_the_checkpoint(tmp_path):
    run = learning_run(tmp_path)
    with Golden() as device:
        train(run, device, Silent())
    checkpoint, _ = load_checkpoint(run)
    memory = Memory.of(run.config.network, checkpoint.parameters)
    assert np.array_equal(memory.parameters(run.config.network).vector(), checkpoint.parameters.vector())
    assert (memory.fine % 2**GUARD_BITS != 0).any() and checkpoint.momentum.any()


def test_the_rule_follows_the_rates_of_the_host(tmp_path):
    config = small_config(tmp_path, update="device", rate_by_size=True, gain_rate=2.0, bias_rate=3.0, weight_decay=0.1)
    rule = step_rule(config, 0)
    rate = config.update_rate * config.learning_rate / config.warm_up
    assert rule.weight_rates == pytest.approx((rate, rate * 12 / 32, rate))
    assert (rule.gain_rate, rule.bias_rate, rule.decay) == pytest.approx((2 * rate, 3 * rate, 0.1 * rate))


@pytest.mark.parametrize("address", ["float:", "golden:?compact=1"])
def test_a_device_that_cannot(tmp_path, address):
    with open_device(address) as device:
        with pytest.raises(
            CapabilityError, match=r"does not change its parameters itself: train it with updates of the"
        ):
            train(learning_run(tmp_path), device, Silent())
        for call in (device.memory, lambda: device.restore(None), lambda: device.learn(None, None, None)):
            with pytest.raises(CapabilityError, match="does not change its parameters itself"):
                call()


def test_a_batch_too_large_to_learn_from(tmp_path):
    with (
        Golden() as device,
        pytest.raises(CapabilityError, match=r"^batch 129 is more than this device takes at once \(128"),
    ):
        train(learning_run(tmp_path, batch=129), device, Silent())


@pytest.mark.parametrize(
    "wrong",
    [
        {"update": "both"},
        {"update": "device", "clip": 1.0},
        {"update": "device", "auto_beta": True},
        {"update_momentum": 8},
    ],
)
def test_settings_that_do_not_go_together(tmp_path, wrong):
    with pytest.raises(RunError):
        replace(small_config(tmp_path), **wrong)


def test_moments_begin_anew(tmp_path):
    """After steps of the device, the host's first is as its first of all."""
    from equipoise.host.optimisers import Optimiser

    config = small_config(tmp_path, warm_up=0, steps=10**9)
    optimiser = Optimiser(config, config.network)
    zeros = Parameters.zeros(config.network)
    direction = zeros.replace(np.random.default_rng(0).normal(size=optimiser.size))
    first, _ = optimiser.update(zeros, direction, Moments.zeros(optimiser.size))
    later, moments = optimiser.update(zeros, direction, Moments.zeros(optimiser.size, 50))
    np.testing.assert_allclose(later.vector(), first.vector(), rtol=1e-6)
    assert moments.step == 51
