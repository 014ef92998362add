"""The host fails: it is killed at any instant, its disk is full or read-only, its clock jumps. Nothing is lost."""

import errno
import os
import pwd
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from equipoise.host import run as run_module
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.run import Run
from equipoise.host.trainer import train
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import RunError

from ..host.runs import Silent, small_config, small_run

STEPS = 12
KILLS = 200


def go_on(run: Run) -> None:
    with Golden() as device:
        train(run, device, Silent())


def resume(path: Path) -> None:
    go_on(Run.open(path))


def result(run: Run) -> tuple[np.ndarray, list, list]:
    """All that a finished run must have in common with one that nothing happened to."""
    checkpoint, damaged = load_checkpoint(run)
    assert checkpoint is not None and not damaged and checkpoint.step == run.config.steps
    records = run.metrics()
    losses = [record["loss"] for record in records if record["kind"] == "step"]
    errors = [record["error"] for record in records if record["kind"] == "evaluation"]
    return np.concatenate([checkpoint.parameters.vector(), checkpoint.average.vector()]), losses, errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = small_run(tmp_path_factory.mktemp("whole"), steps=STEPS)
    begin = time.perf_counter()
    go_on(run)
    return result(run), time.perf_counter() - begin


def in_child(work: Callable[[], None], seconds: float | None = None) -> int:
    """Run ``work`` in a forked process, killed after ``seconds``; returns its exit code, or -9 if it was killed."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(None if seconds is None else 1000 * seconds):
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)


def test_killed_at_random_instants(tmp_path, whole):
    """Killed, resumed, killed again: whatever was under way, the run ends as if it had never been killed."""
    (parameters, losses, errors), seconds = whole
    rng = np.random.default_rng(0)
    small_config(tmp_path)
    kills = runs = 0
    while kills < KILLS:
        run = Run.create(tmp_path / f"run-{runs}", small_config(tmp_path, steps=STEPS))
        runs += 1
        for patience in range(1, 50):  # later tries get more time, so that every run ends
            code = in_child(partial(resume, run.path), rng.uniform(0, 0.1 * patience) * seconds)
            assert code in (0, -signal.SIGKILL)
            if code == 0:
                break
            kills += 1
        ended = result(Run.open(run.path))
        assert np.array_equal(ended[0], parameters) and ended[1:] == (losses, errors)
        assert not list(run.path.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("limit", "settings", "what"),
    [
        (200, {}, "File '.*device.json'"),
        (1000, {}, "File '.*images.npz'"),
        (40_000, {}, "File '.*step-00000002.safetensors'"),
        (9000, {"steps": 40, "checkpoint_every": 40, "evaluate_every": 40}, "Metrics of '.*'"),  # amid a line
    ],
)
def test_a_full_disk_is_one_line_and_what_was_saved_stays(tmp_path, limit, settings, what):
    """A limit on the size of files stands for the disk."""
    settings = {"steps": STEPS} | settings
    run, spared = small_run(tmp_path, **settings), small_run(tmp_path, "spared", **settings)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(RunError, match=rf"^{what} cannot be written: (File too large|No space left on device)$"):
            go_on(run)

    assert in_child(work) == 0
    resume(run.path)
    go_on(spared)
    assert str(result(run)) == str(result(spared))


def test_a_line_of_the_metrics_that_is_cut_short_is_no_success(tmp_path):
    run = small_run(tmp_path)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        with pytest.raises(RunError, match=r"^Metrics of '.*' cannot be written: No space left on device$"):
            run.log("step", step=1, message=9000 * "x")

    assert in_child(work) == 0
    assert run.metrics() == []


def test_a_read_only_directory_is_one_line(tmp_path):
    nobody = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None  # root may write anywhere
    run = small_run(tmp_path, steps=STEPS)
    for path in (run.path, run.path / "checkpoints"):
        path.chmod(0o555)
    for folder in [run.path, *run.path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)

    def work():
        if nobody is not None:
            os.setuid(nobody)
        with pytest.raises(RunError, match=rf"'{run.path}' cannot be written: {os.strerror(errno.EACCES)}$"):
            go_on(Run.open(run.path))

    assert in_child(work) == 0
    run.path.chmod(0o755)


def test_clocks_that_jump_change_nothing(tmp_path, whole, monkeypatch):
    """Both clocks go backwards a day at each look; only the seconds reported may be wrong."""
    run = small_run(tmp_path, steps=STEPS)
    ticks = iter(range(10**9, 0, -(24 * 3600)))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    monkeypatch.setattr(run_module, "datetime", None)  # nothing after creation looks at the date
    go_on(run)
    ended = result(run)
    assert np.array_equal(ended[0], whole[0][0]) and ended[1:] == whole[0][1:]


def test_other_data_is_noticed(tmp_path):
    run = small_run(tmp_path, steps=STEPS)
    go_on(run)
    data = np.load(run.config.data)
    data[3, 1, 2] += 1e-9
    np.save(run.config.data, data)
    with pytest.raises(RunError, match=r"^Data set '.*data.npy' is another than '.*run' was begun with"):
        go_on(Run.open(run.path))
