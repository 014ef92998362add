"""Checkpoints and run directories: whole or passed over, never half taken."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from equipoise.host.cli.train import recorded_device
from equipoise.host.config import TrainConfig
from equipoise.host.optimisers import Moments
from equipoise.host.run import Run
from equipoise.substrate.errors import EquipoiseError, RunError
from equipoise.substrate.parameters import Parameters

from .runs import small_config, small_run


def checkpoint(run: Run, step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    drawn = [Parameters.random(run.config.network, rng) for _ in range(2)]
    size = len(drawn[0].vector())
    return Checkpoint(*drawn, Moments(step, rng.normal(size=size), rng.normal(size=size)))


def same(a: Checkpoint, b: Checkpoint) -> bool:
    pairs = [
        (a.parameters.vector(), b.parameters.vector()),
        (a.average.vector(), b.average.vector()),
        (a.moments.first, b.moments.first),
        (a.moments.second, b.moments.second),
    ]
    return a.step == b.step and all(np.array_equal(*pair) for pair in pairs)


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    run = small_run(tmp_path)
    assert load_checkpoint(run) == (None, [])
    saved = [checkpoint(run, step) for step in (1, 2, 30)]
    for each in saved:
        save_checkpoint(run, each)
    loaded, damaged = load_checkpoint(run)
    assert loaded is not None and same(loaded, saved[-1]) and damaged == []
    assert len(list((run.path / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xff" + data[1:]]
)
def test_a_damaged_one_is_passed_over(tmp_path, damage):
    run = small_run(tmp_path)
    good = checkpoint(run, 1)
    save_checkpoint(run, good)
    path = save_checkpoint(run, checkpoint(run, 2))
    path.write_bytes(damage(path.read_bytes()))
    loaded, damaged = load_checkpoint(run)
    assert loaded is not None and same(loaded, good)
    assert len(damaged) == 1 and damaged[0].startswith(f"checkpoint '{path}' is damaged and was passed over (")
    (run.path / "checkpoints/step-00000001.safetensors").unlink()
    with pytest.raises(RunError, match=r"^No checkpoint of '.*' is whole: checkpoint "):
        load_checkpoint(run)


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_is_noticed(two_checkpoints, place, bit):
    """Wherever it is: in a parameter it would only be a slightly wrong number."""
    run, good, path, content = two_checkpoints
    flipped = bytearray(content)
    flipped[place % len(content)] ^= 1 << bit
    path.write_bytes(flipped)
    loaded, damaged = load_checkpoint(run)
    assert loaded is not None and same(loaded, good) and len(damaged) == 1


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    run = small_run(tmp_path_factory.mktemp("flips"))
    good = checkpoint(run, 1)
    save_checkpoint(run, good)
    path = save_checkpoint(run, checkpoint(run, 2))
    return run, good, path, path.read_bytes()


def test_a_changed_configuration_is_noticed(tmp_path):
    run = small_run(tmp_path)
    save_checkpoint(run, checkpoint(run, 1))
    changed = Run(run.path, small_config(tmp_path, learning_rate=1e-4))
    with pytest.raises(RunError, match=r"^Checkpoint '.*' was made with another configuration than '.*config.json'"):
        load_checkpoint(changed)


def test_a_run_is_trained_by_one_process(tmp_path):
    run = small_run(tmp_path)
    with run.locked():
        other = r"^Run '.*run' is being trained by another process \(pid \d+ on .+\): wait for it, or stop it$"
        with pytest.raises(RunError, match=other), Run.open(run.path).locked():
            pass
    with run.locked():
        pass


@pytest.mark.parametrize("inside", ["checkpoints", "metrics.jsonl", "network.toml"])
def test_links_out_of_a_run_directory_are_refused(tmp_path, inside):
    run = small_run(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    path = run.path / inside
    if path.exists():
        path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=rf"^'.*{inside}' is a link that leads out of its run directory"):
        Run.open(run.path)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("sim:?trace=/tmp/x.vcd", r"that writes a file \(trace=/tmp/x\.vcd\)"),
        ("fault+golden:?drop=0.1&log=x", r"that writes a file \(log=x\)"),
        ("tcp:198.51.100.7:7000", r"on another machine \(tcp:198\.51\.100\.7:7000\)"),
        ("fault+tcp:lab7:7000?drop=0.1", r"on another machine \(fault\+tcp:lab7:7000\)"),
    ],
)
def test_a_directory_from_elsewhere_has_nothing_written_and_no_token_shown(tmp_path, address, what):
    run = small_run(tmp_path)
    run.write("command.json", json.dumps({"device": address}).encode())
    with pytest.raises(RunError, match=rf"names a device {what}: give it as --device if you mean it$"):
        recorded_device(run)


@pytest.mark.parametrize("address", ["sim:", "tcp:127.0.0.1:7000", "tcp:[::1]:7000", "serial:/dev/ttyUSB1?baud=9600"])
def test_a_device_of_this_machine_is_taken_from_the_run(tmp_path, address):
    run = small_run(tmp_path)
    run.write("command.json", json.dumps({"device": address}).encode())
    assert recorded_device(run) == address


def test_the_configuration_comes_back(tmp_path):
    config = small_config(tmp_path, beta=0.2, seed=5, temperature=0.01)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert Run.open(Run.create(tmp_path / "run", config).path).config == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps of a training run must be at least 1, not 0"),
        ({"learning_rate": float("nan")}, "learning_rate of a training run must be finite and at least 0, not nan"),
        ({"average": 1.0}, r"average of a training run must be at least 0 and below 1, not 1\.0"),
        ({"optimiser": "lion"}, "optimiser of a training run must be one of adam, momentum, sgd, not lion"),
        ({"beta": 1.0}, "beta 1 must be below the output module's stiffness 1, or -beta makes its neurons unstable"),
    ],
)
def test_settings_out_of_range_are_named(tmp_path, change, message):
    with pytest.raises(EquipoiseError, match=f"^{message}"):
        small_config(tmp_path, **change)


def test_metrics_are_readable_up_to_the_last_whole_line(tmp_path):
    run = small_run(tmp_path)
    run.log("step", step=1, loss=0.5)
    run.log("step", step=2, loss=0.25)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')
    assert [record["step"] for record in run.metrics()] == [1, 2]
    run.forget_after(1)
    assert run.metrics() == [{"kind": "step", "step": 1, "loss": 0.5}]


def test_a_directory_in_use_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/precious").write_text("mine")
    with pytest.raises(RunError, match=r"^Run directory '.*run' is not empty: resume it, or choose another$"):
        small_run(tmp_path)
    assert os.listdir(tmp_path / "run") == ["precious"]


@pytest.mark.parametrize("content", ["{", '{"config": {}}', '{"config": {"surprise": 1}}', "[]"])
def test_a_configuration_that_is_none(tmp_path, content):
    run = small_run(tmp_path)
    (run.path / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"onfiguration"):
        Run.open(run.path)
