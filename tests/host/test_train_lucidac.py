"""Training on a LUCIDAC, as on any other device: by the command, against lucipy's emulated one."""

import json

import numpy as np
import pytest

from equipoise.host import trainer

from ..drivers.lucidac_emulator import emulated

NETWORK = """
output = "image"
levels = 4

[[module]]
name = "noisy"
size = 2
clamped = true

[[module]]
name = "hidden"
size = 1
quartic = 0.25

[[module]]
name = "image"
size = 2
quartic = 0.0

[[coupling]]
a = "noisy"
b = "hidden"
rank = 1

[[coupling]]
a = "hidden"
b = "image"
rank = 1
"""


@pytest.fixture
def prepared(call, tmp_path, monkeypatch):
    """The command's caller, in a folder with a network that fits and images of 1 x 2 for it."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "data.npy", rng.normal(size=(12, 1, 2)))
    (tmp_path / "net.toml").write_text(NETWORK)
    monkeypatch.setattr(trainer, "_SHOWN_SAMPLES", {True: 1, False: 1})  # samples take 35 runs each, at the end
    return call


def test_training_goes_on_a_lucidac(prepared, tmp_path):
    with emulated() as place:
        code, _, err = prepared(
            "train", "--network", "net.toml", "--data", "data.npy", "--steps", 2, "--batch", 1,
            "--device", f"lucidac:{place}?scale=8", "--out", "run",
        )  # fmt: skip
    assert code == 0, err
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "step"] == [1, 2]
    cosines = [record["cosine"] for record in records if record["kind"] == "evaluation"]
    assert len(cosines) == 2
    assert min(cosines) > 0.95  # of phases as short as the recipe's
    device = json.loads((tmp_path / "run" / "device.json").read_text())
    assert (device["kind"], device["details"]["scale"]) == ("lucidac", 8.0)


def test_states_that_do_not_fit_end_it_in_one_line(prepared):
    with emulated() as place:
        code, _, err = prepared(
            "train", "--network", "net.toml", "--data", "data.npy", "--steps", 2, "--batch", 2,
            "--device", f"lucidac:{place}?scale=0.5", "--out", "run",
        )  # fmt: skip
        assert code == 1
        assert err.splitlines()[-1].startswith(f"equipoise: lucidac:{place} overloads: integrator ")
        code, _, err = prepared("train", "--recipe", "points", "--device", f"lucidac:{place}")
    assert code == 1
    assert err == (
        "equipoise: A LUCIDAC has 8 integrators, one for each neuron that is not clamped, and this network needs 130: "
        "use smaller modules\n"
    )
