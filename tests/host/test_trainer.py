"""Training: what it reaches, what it records, and that a run killed anywhere ends as if it had not been."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.devices import open_device
from equipoise.host.run import Run
from equipoise.host.trainer import train
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError, RunError
from equipoise.substrate.phases import Estimator

from .runs import Silent, small_config, small_run


def finish(run: Run, address: str = "golden:") -> np.ndarray:
    """Train to the end; the parameters."""
    with open_device(address) as device:
        train(run, device, Silent())
    checkpoint, damaged = load_checkpoint(run)
    assert checkpoint is not None and not damaged and checkpoint.step == run.config.steps
    return np.concatenate([checkpoint.parameters.vector(), checkpoint.average.vector()])


def of_kind(run: Run, kind: str) -> list[dict]:
    return [record for record in run.metrics() if record["kind"] == kind]


@pytest.mark.parametrize("estimator", [Estimator.SYMMETRIC, Estimator.ONE_SIDED])
def test_the_denoising_error_falls(tmp_path, estimator):
    run = small_run(tmp_path, steps=60, evaluate_every=60, estimator=estimator, free_steps=30, nudged_steps=12)
    finish(run)
    first, last = of_kind(run, "evaluation")
    assert sum(last["error"]) < 0.9 * sum(first["error"])
    assert last["cosine"] > 0.99


def test_what_a_run_records(tmp_path):
    run = small_run(tmp_path, clip=1e-3)
    finish(run)
    steps = of_kind(run, "step")
    assert [record["step"] for record in steps] == [1, 2, 3, 4, 5, 6]
    assert set(steps[0]["seconds"]) == {"device", "link", "host"}
    assert all(record["clipped"]["gradient"] for record in steps)
    assert all(record["gradient_norm"] > 1e-3 for record in steps)
    assert [record["step"] for record in of_kind(run, "evaluation")] == [0, 3, 6]
    assert len(of_kind(run, "baselines")) == len(of_kind(run, "finished")) == 1
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        ".lock", "config.json", "network.toml", "device.json", "metrics.jsonl", "images.npz", "samples.npz",
        "checkpoints/step-00000004.safetensors", "checkpoints/step-00000006.safetensors",
    }  # fmt: skip


def test_the_seed_decides_everything(tmp_path):
    ends = [finish(small_run(tmp_path, name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_each_epoch_goes_once_through_the_data(tmp_path):
    """40 samples, 8 a step: five steps are an epoch."""
    seen = []

    class Recording(Golden):
        def run(self, minibatch, schedule):
            if schedule.estimator is not Estimator.FREE:
                seen.append(len(minibatch))
            return super().run(minibatch, schedule)

    from equipoise.host.trainer import _Training

    run = small_run(tmp_path, steps=10)
    with Recording() as device:
        batches = list(_Training(run, device, Silent())._batches(0))
    epochs = np.concatenate(batches).reshape(2, 40, -1)
    for epoch in epochs:
        assert len({row.tobytes() for row in epoch}) == 40
    assert not np.array_equal(epochs[0], epochs[1])
    with Recording() as device:
        again = list(_Training(run, device, Silent())._batches(7))
    assert np.array_equal(batches[7:], again)


KILLED = """
import os, signal, sys
from equipoise.host import run as run_module
from equipoise.host import trainer
from equipoise.host.devices import open_device
from equipoise.host.run import Run
from equipoise.substrate import files
from tests.host.runs import Silent

where, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def dying(function):
    def call(*arguments, **options):
        global count
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

if where == "log":
    Run.log = dying(Run.log)
elif where == "rename":
    files.os.replace = dying(os.replace)
elif where == "fsync":
    files.os.fsync = dying(os.fsync)
elif where == "evaluation":
    trainer._Training._evaluate = dying(trainer._Training._evaluate)
elif where == "device":
    from equipoise.sim.golden import Golden
    Golden.run = dying(Golden.run)
with open_device("golden:") as device:
    trainer.train(Run.open(path), device, Silent())
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Parameters and metrics of the run that was not killed."""
    run = small_run(tmp_path_factory.mktemp("whole"))
    return finish(run), [record["loss"] for record in of_kind(run, "step")]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("evaluation", 2),
        ("evaluation", 3),
        ("log", 1),
        ("log", 4),
        ("log", 9),
        ("rename", 2),
        ("rename", 5),
        ("fsync", 3),
        ("device", 7),
        ("device", 12),
    ],
)
def test_a_run_killed_anywhere_ends_the_same(tmp_path, whole, where, count):
    run = small_run(tmp_path)
    command = [sys.executable, "-c", KILLED, where, str(count), str(run.path)]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    parameters, losses = whole
    assert np.array_equal(finish(Run.open(run.path)), parameters)
    assert [record["loss"] for record in of_kind(run, "step")] == losses
    assert [record["step"] for record in of_kind(run, "evaluation")] == [0, 3, 6]


def test_golden_and_gateware_end_the_same(tmp_path, sim_device):
    """The device is what makes the numbers: bit for bit the same training on both."""
    ends = []
    for name in ("golden", "gateware"):
        run = small_run(tmp_path, name, steps=4)
        run.config = replace(run.config, edm=replace(run.config.edm, levels=4))
        run.config = replace(run.config, network=replace(run.config.network, levels=4), temperature=1e-4)
        device = Golden() if name == "golden" else sim_device()
        train(run, device, Silent())
        checkpoint, _ = load_checkpoint(run)
        ends.append(checkpoint.parameters.vector())
    assert np.array_equal(*ends)


def test_going_on_elsewhere_is_told(tmp_path):
    run, silent = small_run(tmp_path, checkpoint_every=1), Silent()

    def interrupt(record):
        raise KeyboardInterrupt

    silent.step = interrupt
    with open_device("golden:") as device:
        train(run, device, silent)
    silent = Silent()
    with open_device("float:") as device:
        train(Run.open(run.path), device, silent)
    assert len(silent.warnings) == 1
    assert re.match(
        r"begun on golden golden \S+, resumed on float float .*: the result need not be", silent.warnings[0]
    )
    assert [record["device"]["kind"] for record in of_kind(run, "resumed")] == ["float"]


def test_a_short_free_phase_is_warned_of_once(tmp_path):
    run, silent = small_run(tmp_path, free_steps=1, beta=1e-3), Silent()
    with Golden() as device:
        train(run, device, silent)
    (warning,) = silent.warnings
    assert warning.startswith("the free phase ends at |ds/dt| = ")
    assert warning.endswith(": give it more free_steps, or a larger beta")
    assert [record["message"] for record in of_kind(run, "warning")] == [warning]


def test_the_push_into_a_rail_is_no_sign_of_a_short_free_phase(tmp_path):
    network = small_config(tmp_path).network
    railed = replace(network, modules=tuple(replace(module, railed=not module.clamped) for module in network))
    run, silent = small_run(tmp_path, free_steps=1, beta=1e-3, network=railed), Silent()
    with Golden() as device:
        train(run, device, silent)
    assert silent.warnings == []


def test_a_batch_too_large_for_the_device(tmp_path):
    with Golden() as device, pytest.raises(CapabilityError, match=r"^batch 300 is more than this device takes at once"):
        train(small_run(tmp_path, batch=300), device, Silent())


def test_data_that_does_not_fit_the_network(tmp_path):
    config = small_config(tmp_path)
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(48, 5)))
    with Golden() as device, pytest.raises(RunError, match=r"has samples of 5 numbers, but the network's clamped mod"):
        train(Run.create(tmp_path / "run", config), device, Silent())
