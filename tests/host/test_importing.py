"""Models of one's own: what a rank leaves out, what a network of couplings computes, and training that goes on."""

import json
import re

import numpy as np
import pytest

from equipoise.host.importing import read_model
from equipoise.host.run import Run
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import DataError
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

RNG = np.random.default_rng(0)


def layers(scale=0.4, sizes=(6, 10, 6)):
    n, h, m = sizes
    return {
        "weight.input-hidden": scale * RNG.normal(size=(n, h)) / np.sqrt(n),
        "weight.hidden-output": scale * RNG.normal(size=(h, m)) / np.sqrt(h),
        "bias.hidden": 0.1 * RNG.normal(size=h),
        "bias.output": 0.1 * RNG.normal(size=(4, m)),
    }


def saved(folder, arrays):
    np.savez(folder / "mine.npz", **arrays)
    return read_model(folder / "mine.npz")


def test_what_is_left_out_is_the_tail_of_the_spectrum(tmp_path):
    arrays = layers()
    model = saved(tmp_path, arrays)
    values = np.linalg.svd(arrays["weight.input-hidden"], compute_uv=False) ** 2
    for rank in model.ranks():
        assert model.discarded(rank)["input-hidden"] == pytest.approx(values[rank:].sum() / values.sum(), abs=1e-12)
    assert model.ranks() == [1, 2, 4, 6]
    assert max(model.discarded(model.enough()).values()) <= 0.01


def dense(network, parameters, number):
    gain = parameters.gain[number][0]
    return parameters.U[number] * gain @ parameters.V[number].T


def test_a_skip_connection_is_factored_by_its_gram_structure(tmp_path):
    arrays = layers() | {
        "encoder.input-output": RNG.normal(size=(6, 3)),
        "decoder.input-output": RNG.normal(size=(6, 3)),
    }
    model = saved(tmp_path, arrays)
    skip = arrays["encoder.input-output"] @ arrays["decoder.input-output"].T
    assert np.allclose(model.spectrum(("input", "output")), np.linalg.svd(skip, compute_uv=False)[:3])
    for rank in (1, 3):
        network = model.network(rank)
        left, values, right = np.linalg.svd(skip)
        best = left[:, :rank] * values[:rank] @ right[:rank]
        number = [str(coupling) for coupling in network.couplings].index("input-output")
        assert np.allclose(dense(network, model.parameters(network), number), best)


def test_strong_channels_put_their_excess_into_the_gain(tmp_path):
    model = saved(tmp_path, {"weight.input-output": np.diag([7.0, 0.1])})
    network = model.network(2)
    parameters = model.parameters(network)
    with Golden() as device:
        device.configure(network)
        device.write(parameters)
        assert np.allclose(dense(network, device.read(), 0), np.diag([7.0, 0.1]), atol=1e-3)


@pytest.mark.parametrize("device_class", [FloatModel, Golden])
def test_couplings_compute_what_the_layers_do(tmp_path, device_class):
    """Of weak layers: the back-action of the output and the quartic are small of higher order."""
    arrays = layers(scale=0.15)
    model = saved(tmp_path, arrays)
    network = model.network(model.full_rank)
    given, levels = RNG.normal(size=(9, 6)), np.arange(9) % 4
    hidden = np.tanh(given @ arrays["weight.input-hidden"] + arrays["bias.hidden"])
    expected = hidden @ arrays["weight.hidden-output"] + arrays["bias.output"][levels]
    with device_class() as device:
        device.configure(network)
        device.write(model.parameters(network))
        outputs = device.run(Minibatch(given, levels), Schedule(150, 1, estimator=Estimator.FREE)).outputs
    assert np.linalg.norm(outputs - expected) < 0.03 * np.linalg.norm(expected)


def test_the_command_and_fine_tuning(call, tmp_path):
    np.save("data.npy", RNG.normal(size=(60, 6)) @ RNG.normal(size=(6, 6)))
    np.savez("mine.npz", **layers())
    code, out, err = call("import", "mine.npz", "--data", "data.npy", "--device", "golden:", "--rank", 2, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [row["rank"] for row in found["ranks"]] == [1, 2, 4, 6] and found["rank"] == 2
    assert found["ranks"][0]["discarded"]["input-hidden"] > found["ranks"][1]["discarded"]["input-hidden"]
    assert (tmp_path / "mine/import.svg").read_text().startswith("<?xml")
    code, _, err = call(
        "train", "--recipe", "digits", "--data", "data.npy", "--network", "mine/network.toml", "--start",
        "mine/start.safetensors", "--device", "golden:", "--steps", 4, "--batch", 8, "--out", "tuned",
    )  # fmt: skip
    assert code == 0, err
    evaluations = [record for record in Run.open("tuned").metrics() if record["kind"] == "evaluation"]
    assert evaluations[0]["error"] == pytest.approx(found["ranks"][1]["error"], rel=1e-6)
    page = (tmp_path / "tuned/report.html").read_text()
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", page[page.index("Imported model") :])
    row = cells.index("rank 2, begun with")
    assert cells[row - 3 :][:3] == [f"{error:.4f}" for error in found["ranks"][0]["error"][1:]]
    assert cells[row + 4 :][:4] == [f"{error:.4f}" for error in evaluations[0]["error"]]
    row = cells.index("after 4 steps of training")
    assert cells[row + 4 :][:4] == [f"{error:.4f}" for error in evaluations[-1]["error"]]
    code, out, err = call("import", "mine.npz", "--data", "data.npy", "--device", "golden:")
    assert code == 0 and out.startswith("Network: mine/network.toml") and "--start mine/start.safetensors" in err


def test_strong_hidden_neurons_relax(call):
    """As strongly driven as those of a model of digits, whose network grew without bound in steps of the recipe."""
    np.save("data.npy", RNG.normal(size=(60, 6)) @ RNG.normal(size=(6, 6)))
    arrays = layers()
    np.savez("mine.npz", **arrays | {"weight.input-hidden": 5 * arrays["weight.input-hidden"]})
    code, out, err = call("import", "mine.npz", "--data", "data.npy", "--device", "float:", "--json")
    assert code == 0, err
    assert json.loads(out)["rank"] == 6


def test_other_parameters_are_not_taken_for_the_imported_ones(call, tmp_path):
    """A start of one's own beside an old import.json says nothing of it; a damaged one is an error."""
    np.save("data.npy", RNG.normal(size=(60, 6)))
    np.savez("mine.npz", **layers())
    assert call("import", "mine.npz", "--data", "data.npy", "--device", "float:", "--rank", 2)[0] == 0
    network = read_model(tmp_path / "mine.npz").network(2, 32)
    Parameters.zeros(network).save(tmp_path / "mine/start.safetensors", network)
    arguments = (
        "train", "--recipe", "digits", "--data", "data.npy", "--network", "mine/network.toml", "--start",
        "mine/start.safetensors", "--device", "float:", "--steps", 1, "--batch", 4, "--out",
    )  # fmt: skip
    assert call(*arguments, "other")[0] == 0
    assert not (tmp_path / "other/import.json").exists()
    assert "Imported model" not in (tmp_path / "other/report.html").read_text()
    (tmp_path / "mine/import.json").write_text("{")
    code, _, err = call(*arguments, "damaged")
    assert code == 1 and "import the model again, or delete it" in err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 2))}, "must be a matrix named weight.A-B"),
        ({"weight.input-hidden": np.ones((2, 2))}, "has no weight at a module 'output', only at"),
        ({"weight.input-output": np.array([[np.nan]])}, "must be finite numbers"),
        ({"encoder.input-output": np.ones((2, 1))}, "needs an array 'decoder.input-output' of 1 columns"),
        (
            {"weight.input-h": np.ones((2, 2)), "weight.h-output": np.ones((3, 2))},
            "Module 'h' of '.*' has both 2 and 3 neurons",
        ),
        ({"weight.input-output": np.ones((2, 2)), "bias.input": np.ones(2)}, "fits no free module of 2 neurons"),
    ],
)
def test_files_that_make_no_network(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        saved(tmp_path, arrays)


def test_weights_beyond_a_device_are_refused(tmp_path):
    model = saved(tmp_path, {"weight.input-output": np.array([[1e3]])})
    with pytest.raises(DataError, match="Weights of coupling 'input-output' are too large for a device"):
        model.parameters(model.network(1))


def test_a_start_of_another_network_is_one_line(call):
    np.save("data.npy", RNG.normal(size=(60, 4)))
    code, _, err = call("train", "--data", "data.npy", "--start", "no.safetensors", "--device", "float:")
    assert (code, err.count("\n")) == (1, 1) and "no.safetensors" in err
