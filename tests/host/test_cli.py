"""The command: what it prints where, what it leaves behind, and its exit codes."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.cli.progress import TrainingProgress
from equipoise.host.run import Run
from equipoise.substrate.toml import network_to_toml


@pytest.fixture
def data(tmp_path):
    """A few small images."""
    rng = np.random.default_rng(1)
    path = tmp_path / "data.npy"
    np.save(path, rng.normal(size=(48, 3, 1)) + rng.normal(size=(48, 1, 3)))
    return path


@pytest.fixture
def train(call, data):
    """Trains a few steps on the golden model."""

    def run(*arguments):
        return call("train", "--data", data, "--device", "golden:", "--steps", 3, "--batch", 4, *arguments)

    return run


def test_trains_and_says_where_the_report_is(train, tmp_path):
    code, out, err = train("--out", "a")
    assert code == 0
    assert out == "Report: a/report.html\n"
    assert "after training" in err
    assert "step 3/3: error " in err
    assert (tmp_path / "a/report.html").read_text().startswith("<!doctype html>")


def test_a_run_directory_of_its_own_by_default(train, tmp_path):
    assert train()[0] == 0
    assert [path.name.rpartition("-20")[0] for path in (tmp_path / "runs").iterdir()] == ["digits-quick"]


def test_json_is_one_object_and_nothing_else(train):
    code, out, _ = train("--json", "--out", "a")
    summary = json.loads(out)
    assert code == 0
    assert (summary["step"], summary["interrupted"], summary["report"]) == (3, False, "a/report.html")


def test_numbers_that_json_lacks_become_null(capsys):
    from equipoise.host.cli.options import show_json

    show_json({"cosine": float("nan"), "errors": [1.0, float("inf")]})
    assert json.loads(capsys.readouterr().out) == {"cosine": None, "errors": [1.0, None]}


def test_options_reach_the_configuration(train):
    arguments = ("--seed", 7, "--beta", 0.25, "--estimator", "one-sided", "--out", "a")
    assert train(*arguments)[0] == 0
    config = Run.open("a").config
    assert (config.steps, config.batch, config.seed, config.beta) == (3, 4, 7, 0.25)
    assert config.estimator.value == "one-sided"


def test_beta_may_be_measured(train):
    code, _, err = train("--beta", "auto", "--out", "a")
    assert code == 0
    assert re.search(r"step 1/3: beta 0\.\d+ \(95 % confidence: ", err)
    assert Run.open("a").config.auto_beta
    code, _, err = train("--beta", "best", "--out", "b")
    assert code == 2
    assert "must be a number or auto, not 'best'" in err


def test_a_network_of_ones_own_sets_noise_levels_and_steps(train, tmp_path):
    """Phases last as long as the recipe's, in steps half as long."""
    assert train("--out", "a")[0] == 0
    recipe = Run.open("a").config
    text = network_to_toml(recipe.network).replace("levels = 8", "levels = 5").replace("dt = 0.25", "dt = 0.125")
    (tmp_path / "own.toml").write_text(text)
    assert train("--network", "own.toml", "--out", "b")[0] == 0
    config = Run.open("b").config
    assert config.network.levels == config.edm.levels == 5
    assert (config.free_steps, config.nudged_steps) == (2 * recipe.free_steps, 2 * recipe.nudged_steps)


def test_ctrl_c_leaves_a_checkpoint_and_resume_ends_the_same(train, call, monkeypatch):
    assert train("--out", "whole")[0] == 0
    step = TrainingProgress.step

    def interrupt(self, record):
        step(self, record)
        if record["step"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "step", interrupt)
    code, _, err = train("--out", "cut")
    assert code == 130
    assert err.endswith("Interrupted after step 2. Go on with: equipoise train --resume cut\n")
    monkeypatch.setattr(TrainingProgress, "step", step)
    assert call("train", "--resume", "cut")[0] == 0
    ends = [load_checkpoint(Run.open(name))[0] for name in ("whole", "cut")]
    assert [end.step for end in ends] == [3, 3]
    assert np.array_equal(ends[0].parameters.vector(), ends[1].parameters.vector())


def test_resume_goes_on_with_what_was_configured(call):
    code, _, err = call("train", "--resume", "a", "--steps", 5, "--seed", 1)
    assert code == 2
    assert "goes on with a run as it was configured: leave out --steps, --seed" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--device", "sime:"],
            "equipoise: Device address 'sime:' must begin with one of sim:, golden:, float:, "
            "spice:, serial:, tcp:, visa:, lucidac:\n",
        ),
        (
            ["train", "--recipe", "faces", "--device", "golden:"],
            "equipoise: Recipe 'faces' is not known; "
            "choose from digits-quick, digits, digits-labels, points, points-small, points-board\n",
        ),
        (["train", "--data", "no.npy"], "equipoise: File 'no.npy' does not exist\n"),
        (["train", "--resume", "no"], "equipoise: 'no' is not a run directory: it has no config.json\n"),
        (["report", "no"], "equipoise: 'no' is not a run directory: it has no config.json\n"),
        (["sample", "no"], "equipoise: 'no' is not a run directory: it has no config.json\n"),
    ],
)
def test_errors_are_one_line(call, arguments, message):
    assert call(*arguments) == (1, "", message)


def test_a_wrong_address_leaves_no_run_behind(train, tmp_path):
    assert train("--out", "a", "--device", "golden:x")[0] == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("arguments", [["--batch", 300], ["--data", "other.npy", "--network", "net.toml"]])
def test_what_does_not_fit_leaves_no_run_behind(train, call, tmp_path, arguments):
    assert train("--out", "good")[0] == 0
    (tmp_path / "net.toml").write_text((tmp_path / "good/network.toml").read_text())
    np.save("other.npy", np.random.default_rng(0).normal(size=(48, 5)))
    assert call("train", "--device", "golden:", "--steps", 2, "--out", "a", *arguments)[0] == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["command.json", "device.json", "metrics.jsonl", "images.npz"])
def test_a_damaged_file_of_a_run_is_one_line(train, call, tmp_path, name):
    assert train("--out", "a")[0] == 0
    (tmp_path / "a" / name).write_bytes(b"{garbage\n")
    code, _, err = call("report", "a")
    assert code == 1
    assert re.fullmatch(rf"equipoise: .*a/{name}' .*\n", err)


@pytest.mark.parametrize("address", ["sim:?lanes=1000", "sim:?contexts=0", "sim:?lanes=0"])
def test_no_device_of_such_a_size(call, address):
    code, _, err = call("train", "--device", address)
    assert code == 1
    assert err.startswith("equipoise: A simulated board cannot be built: Geometry ")


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-c", "from equipoise.host.cli import main; main()", "report", "no", "--debug"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RunError: 'no' is not a run directory: it has no config.json\n")


@pytest.mark.parametrize(
    "command", ["train", "sample", "evaluate", "import", "report", "study", "bench", "serve", "devices", "doctor"]
)
def test_help_shows_examples(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0
    assert re.search(rf"Examples?\s+equipoise {command}\b", out)


def test_usage_errors(call):
    assert call("train", "--steps", "many")[0] == 2
    assert call("nonsense")[0] == 2


def test_help_imports_nothing_that_takes_long():
    code = """
import sys
sys.argv = ["equipoise", "--help"]
from equipoise.host.cli import main
try:
    main()
finally:
    slow = {"numpy", "scipy", "sklearn", "matplotlib", "jinja2", "safetensors", "serial", "amaranth", "cocotb"}
    print(sorted(slow & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_samples(train, call, tmp_path):
    assert train("--out", "a")[0] == 0
    arguments = ("sample", "a", "-n", 5, "--steps", 2, "--save", "b.npz", "--json")
    code, out, _ = call(*arguments)
    assert code == 0
    assert json.loads(out) == {
        "run": "a", "step": 3, "count": 5, "shape": [3, 3], "grid": "a/samples.png", "save": "b.npz",
    }  # fmt: skip
    assert (tmp_path / "a/samples.png").read_bytes().startswith(b"\x89PNG")
    first = np.load("b.npz")["samples"]
    assert first.shape == (5, 3, 3)
    call(*arguments)
    assert np.array_equal(np.load("b.npz")["samples"], first)
    call(*arguments, "--seed", 1)
    assert not np.array_equal(np.load("b.npz")["samples"], first)


def test_samples_warm_and_of_fewer_steps(train, call):
    assert train("--out", "a")[0] == 0
    arguments = ("sample", "a", "-n", 3, "--steps", 3, "--save", "b.npz")
    drawn = []
    for options in ((), ("--warm",), ("--free-steps", 3), ("--sampler", "langevin"), ("--sampler", "ancestral")):
        assert call(*arguments, *options)[0] == 0
        drawn.append(np.load("b.npz")["samples"])
    assert len({each.tobytes() for each in drawn}) == 5
    assert np.allclose(drawn[0], drawn[1], atol=0.1)


def test_samples_by_the_device(train, call):
    """As by the host, and with the device's noise: so that no two ways make the same samples."""
    assert train("--out", "a")[0] == 0
    arguments = ("sample", "a", "-n", 5, "--steps", 4, "--save", "b.npz")
    drawn = []
    for options in ((), ("--on-device",), ("--on-device", "--warm"), ("--on-device", "--sampler", "ancestral")):
        assert call(*arguments, *options)[0] == 0
        drawn.append(np.load("b.npz")["samples"])
    assert len({each.tobytes() for each in drawn}) == 4
    assert call(*arguments, "--on-device", "--sampler", "ancestral")[0] == 0
    assert np.array_equal(np.load("b.npz")["samples"], drawn[-1])


def test_samples_of_a_run_that_has_not_begun(train, call, monkeypatch):
    def interrupt(self, record):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "evaluation", interrupt)
    assert train("--out", "a")[0] == 130
    code, _, err = call("sample", "a", "-n", 1, "--steps", 1)
    assert (code, err) == (0, "warning: 'a' has not been trained yet: this is what it starts from\n")


def test_ctrl_c_while_sampling_says_what_is_left(train, call, monkeypatch):
    from equipoise.host import sampler

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    assert train("--out", "a")[0] == 0
    monkeypatch.setattr(sampler, "_flow", interrupt)
    code, out, err = call("sample", "a", "-n", 1)
    assert (code, out) == (130, "")
    assert err == "Interrupted: no samples were written. Fewer (-n) or fewer --steps take less long.\n"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--grid", "a.jpg"), 1, "Picture 'a.jpg' must be a .png file"),
        (("--label", 3), 1, "label 3 cannot be asked for: this run was trained without labels"),
        (("--guidance", 2), 2, "needs a class to guide to"),
        (("--seed", -1), 2, "Invalid value for '--seed'"),
        (("--on-device", "--sampler", "langevin"), 1, "choose another --sampler, or leave out --on-device"),
        (("--on-device", "--beyond", 2), 2, "is done by the host: leave out --on-device"),
        (("--on-device", "--device", "golden:?compact=1"), 1, "let the host do it (without --on-device)"),
    ],
)
def test_sample_refuses(train, call, options, code, message):
    assert train("--out", "a")[0] == 0
    found, _, err = call("sample", "a", "-n", 1, "--steps", 1, *options)
    assert (found, message in err) == (code, True)


def test_seeds_are_the_same_for_all_commands(train):
    code, _, err = train("--seed", -1)
    assert code == 2 and "Invalid value for '--seed'" in err


def test_samples_that_cannot_be_saved(train, call):
    assert train("--out", "a")[0] == 0
    code, _, err = call("sample", "a", "-n", 1, "--steps", 1, "--save", "no/b.npz")
    assert (code, err) == (1, "equipoise: File 'no/b.npz' cannot be written: No such file or directory\n")


def test_devices(call):
    code, out, _ = call("devices", "--json")
    addresses = [device["address"] for device in json.loads(out)["devices"]]
    assert code == 0
    assert addresses[:3] == ["sim:", "golden:", "float:"]
    assert "tcp:HOST:PORT" in call("devices")[1]


def test_doctor_fails_when_something_required_is_missing(call, monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.devnull)
    code, out, _ = call("doctor", "--json")
    found = json.loads(out)
    assert (code, found["ready"]) == (1, False)
    assert {check["name"] for check in found["checks"] if check["required"] and not check["ok"]} >= {"g++", "make"}
    code, out, _ = call("doctor")
    assert code == 1
    assert out.endswith("Not ready to train on sim:\n")


def test_bench_on_a_device_without_a_clock(call):
    code, out, _ = call("bench", "--device", "golden:", "--batch", 2, "--runs", 1, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["cycles_per_step"] is None
    assert result["samples_per_second"] > 0
    assert result["device_share"] + result["link_share"] + result["host_share"] == pytest.approx(1)


def test_the_plain_count_of_the_bench_network():
    from equipoise.host.bench import bench_network, plain_cycles

    assert plain_cycles(bench_network(), lanes=8) == 848
    assert plain_cycles(bench_network(), lanes=16) == 848
    assert plain_cycles(bench_network(), lanes=4) == 1552


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tcp", "7000"], "must have the form HOST:PORT, with a port from 0 to 65535, not '7000'"),
        (["--tcp", "a:70000"], "must have the form HOST:PORT, with a port from 0 to 65535, not 'a:70000'"),
        (["--tcp", "a:1", "--pty"], "cannot be given together with --tcp"),
    ],
)
def test_serve_refuses(call, arguments, message):
    code, _, err = call("serve", *arguments)
    assert code == 2
    assert message in err


def test_selftest_of_what_is_no_gateware(call):
    code, out, err = call("selftest", "--device", "golden:")
    assert (code, out) == (1, "")
    assert err.startswith("equipoise: golden: is no gateware but of kind 'golden'")


def test_selftest_prints_a_table_and_names_the_first_bad_thing(call, monkeypatch):
    from equipoise.host.selftest import selftest
    from equipoise.host.selftest.checks import Check, Report

    found = "weights row 37, lane 1: bit 5 is stuck at 0"
    checks = [Check("hello", True, "build 01"), Check("memories", False, found), Check("noise", None, "not made")]
    monkeypatch.setattr(selftest, "self_test", lambda address, *_: Report(address, checks=checks))
    code, out, err = call("selftest", "--device", "tcp:lab7:7000")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["pass", "FAIL", "-"]
    assert err == f"equipoise: tcp:lab7:7000 failed its self-test, memories: {found}\n"
    code, out, _ = call("selftest", "--device", "tcp:lab7:7000", "--json")
    assert (code, json.loads(out)["ok"], json.loads(out)["checks"][1]["found"]) == (1, False, found)


def test_selftest_wants_a_whole_build_id(call):
    code, _, err = call("selftest", "--expect", "12")
    assert code == 2 and "must be 16 hexadecimal digits, not '12'" in err
