"""What is said of a run: figures, intervals, the floor of real data, files and the report."""

import json

import numpy as np
import pytest

from equipoise.host.data import load_data
from equipoise.host.quality.evaluate import compare_denoisers, compare_samples
from equipoise.host.run import Run
from equipoise.substrate.errors import DataError


def test_training_data_is_the_floor():
    data = load_data("gaussians")
    rng = np.random.default_rng(0)
    found, sets = compare_samples(0.5 * rng.normal(size=(500, 2)), None, data)
    assert found["count"] == 500 and found["reference"] == 1000
    assert set(found["samples"]) == {"generated", "training data", "gaussian"}
    rows = found["samples"]
    for measure in ("sliced Wasserstein", "MMD^2"):
        assert rows["training data"][measure]["high"] < rows["generated"][measure]["low"]
    assert rows["training data"]["precision"]["low"] > rows["gaussian"]["precision"]["high"]
    assert sets["held-out data"].shape == (1000, 2)


def test_real_samples_with_their_labels_are_recognised():
    data = load_data("digits")
    found, _ = compare_samples(data.test[:200], data.test_labels[:200], data)
    assert found["classifier"]["accuracy of generated"]["low"] > 0.9
    assert found["samples"]["generated"]["Fréchet of features"]["value"] < 3


def test_too_few_samples():
    with pytest.raises(DataError, match="must be at least 4, not 3"):
        compare_samples(np.zeros((3, 2)), None, load_data("moons"))


def test_a_denoiser_half_as_wrong_has_the_ratio_one_half():
    rng = np.random.default_rng(0)
    wiener = rng.gamma(2, size=60)
    found = compare_denoisers({"half": [wiener / 2], "other": [rng.gamma(2, size=60)]}, [wiener], np.array([1.0]))
    half, other = found["ratios"]["half"][0], found["ratios"]["other"][0]
    assert [half[part] for part in ("value", "low", "high")] == pytest.approx([0.5] * 3)
    assert other["low"] < 1 < other["high"]


@pytest.fixture
def trained(call, tmp_path):
    np.save("data.npy", np.random.default_rng(1).normal(size=(60, 3, 3)))
    assert call("train", "--data", "data.npy", "--device", "golden:", "--steps", 3, "--batch", 4, "--out", "a")[0] == 0


def test_the_command_writes_figures_and_the_report(trained, call, tmp_path):
    code, out, err = call("evaluate", "a", "-n", 20, "--steps", 2, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["step"] == 3 and found["count"] == 20
    assert found["samples"] == json.loads((tmp_path / "a/quality.json").read_text())["samples"]
    assert found["figures"] == ["a/quality-denoising.svg", "a/quality-samples.png"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in found["figures"])
    page = (tmp_path / "a/report.html").read_text()
    assert "<h2>Quality</h2>" in page and "sliced Wasserstein" in page and "Samples of each set" in page
    assert set(found["denoising"]["errors"]) == {"run", "posterior mean", "MLP"}


def test_samples_of_a_file(trained, call):
    assert call("sample", "a", "-n", 20, "--steps", 2, "--save", "b.npz")[0] == 0
    code, out, err = call("evaluate", "a", "--samples", "b.npz", "--json")
    assert code == 0, err
    assert json.loads(out)["sampling"] == {"file": "b.npz"}
    again = json.loads(call("evaluate", "a", "-n", 20, "--steps", 2, "--json")[1])
    expected = again["samples"]["generated"]["sliced Wasserstein"]["value"]
    assert json.loads(out)["samples"]["generated"]["sliced Wasserstein"]["value"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (None, "File 'b.npz' does not exist"),
        ({"other": np.zeros(3)}, "File 'b.npz' must be .npz with an array 'samples'"),
        ({"samples": np.zeros((9, 4))}, "Samples of 'b.npz' must be finite, of shape"),
    ],
)
def test_files_that_hold_no_samples(trained, call, array, message):
    if array is not None:
        np.savez("b.npz", **array)
    code, _, err = call("evaluate", "a", "--samples", "b.npz")
    assert code == 1 and err.startswith(f"equipoise: {message}") and err.count("\n") == 1


def test_points_are_drawn_as_densities(call):
    arguments = ("--recipe", "points", "--device", "float:", "--steps", 2, "--batch", 4, "--out", "p")
    assert call("train", *arguments)[0] == 0
    assert call("evaluate", "p", "-n", 30, "--steps", 2)[0] == 0
    page = (Run.open("p").path / "report.html").read_text()
    assert "Density of each set" in page
