"""The report: what it shows of a run, whatever instant the run is at."""

import json
import re

import numpy as np
import pytest

from equipoise.host.devices import open_device
from equipoise.host.recipes import recipe
from equipoise.host.report import write_report
from equipoise.host.run import Run
from equipoise.host.trainer import Progress, train

FIGURES = [
    "Noisy, denoised and clean",
    "Generated samples",
    "Loss over time",
    "Denoising error by noise level",
    "Denoising error over time",
    "Gradient against the oracle",
    "Residual of the free phase",
    "Saturations",
    "Where the time went",
]


def new_run(folder, shape, **overrides):
    """A run that was configured and not begun, on random samples of a shape."""
    path = folder / "data.npy"
    np.save(path, np.random.default_rng(0).normal(size=(48, *shape)))
    settings = {"steps": 4, "batch": 4, "evaluate_every": 2, **overrides}
    return Run.create(folder / "run", recipe("digits-quick", str(path), **settings))


def trained(folder, shape, **overrides):
    run = new_run(folder, shape, **overrides)
    with open_device("golden:") as device:
        train(run, device, Progress())
    return run


def titles(page):
    return re.findall(r"<h3>(.*?)</h3>", page)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A finished run on images."""
    return trained(tmp_path_factory.mktemp("images"), (3, 4))


def test_shows_everything_of_a_finished_run(images):
    path = write_report(images)
    page = path.read_text()
    assert path == images.path / "report.html"
    assert titles(page) == FIGURES
    assert "finished, 4 of 4 steps done" in page
    assert "denoiser at step 4" in page
    assert "best linear filter (Wiener)" in page
    assert "<th>kind</th><td>golden</td>" in page
    assert "[[coupling]]" in page


def test_needs_nothing_else(images):
    page = write_report(images).read_text()
    assert set(re.findall(r'(?:src|href)="([a-z]+:|[^"]{0,30})', page)) == {"data:"}
    assert not re.findall(r"<script|<link|@import|url\(", page)


def test_the_errors_are_those_of_the_metrics(images):
    page = write_report(images).read_text()
    last = [record for record in images.metrics() if record["kind"] == "evaluation"][-1]
    row = re.search(r"<th>denoiser at step 4</th>(.*?)</tr>", page)[1]
    assert re.findall(r"<td>(.*?)</td>", row) == [f"{error:.4f}" for error in last["error"]]


def test_the_command_repeats_the_run(images):
    page = write_report(images).read_text()
    data = images.config.data
    assert f"equipoise train --recipe digits-quick --data {data} --seed 0 --steps 4" in page
    images.write("command.json", json.dumps({"device": "golden:", "command": "equipoise train --steps 4"}).encode())
    assert "<pre>equipoise train --steps 4</pre>" in write_report(images).read_text()


def test_points_are_scattered(tmp_path):
    assert titles(write_report(trained(tmp_path, (2,))).read_text()) == FIGURES


def test_samples_that_cannot_be_drawn(tmp_path):
    page = write_report(trained(tmp_path, (5,))).read_text()
    assert titles(page) == FIGURES[2:]
    assert "samples of this shape cannot be drawn" in page


def test_a_run_that_has_just_begun(tmp_path):
    page = write_report(new_run(tmp_path, (3, 4))).read_text()
    assert titles(page) == []
    for text in ("just begun, 0 of 4 steps done", "Nothing has been evaluated yet.", "No step has been taken yet."):
        assert text in page


@pytest.mark.parametrize("records", [1, 2, 3])
def test_a_run_that_was_cut_short(images, tmp_path, records):
    """Killed after the baselines, the first evaluation, or the first step, while it wrote the next record."""
    run = new_run(tmp_path, (3, 4))
    lines = (images.path / "metrics.jsonl").read_text().splitlines(keepends=True)
    lines = [line for line in lines if json.loads(line)["kind"] in ("baselines", "evaluation", "step")]
    run.write("metrics.jsonl", "".join(lines[:records]).encode() + b'{"kind": "st')
    page = write_report(run).read_text()
    assert "under way" in page
    assert ("Loss over time" in page) == (records == 3)


def test_warnings_and_odd_names_are_shown_as_they_are(tmp_path):
    run = new_run(tmp_path, (3, 4))
    run.log("warning", step=3, message="|ds/dt| < 1 & <b>")
    assert "Warning at step 3: |ds/dt| &lt; 1 &amp; &lt;b&gt;" in write_report(run).read_text()


def test_a_run_that_diverged(tmp_path):
    run = new_run(tmp_path, (3, 4))
    nan = float("nan")
    spent = {"device": 0.1, "link": 0.0, "host": 0.1}
    clipped = {"gradient": True, "parameters": 3, "samples": 2}
    for step in (1, 2):
        run.log(
            "step", step=step, loss=nan, residual=nan, gradient_norm=nan, clipped=clipped, cycles=100, relax_cycles=80,
            saturations={"state": 5, "bus": 0, "force": 1}, relax_steps=8, seconds=spent,
        )  # fmt: skip
    page = write_report(run).read_text()
    assert "<th>saturations of a state</th><td>10</td>" in page
    assert "<th>steps with a clipped gradient</th><td>2 of 2</td>" in page
    assert "<th>cycles of a relaxation step</th><td>10.0</td>" in page
