"""Labels: where they go, how they are dropped, that a network learns them, and guidance."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.conditioning import UNLABELLED, drop_labels, with_labels
from equipoise.host.config import TrainConfig
from equipoise.host.data import load_data
from equipoise.host.edm import Edm
from equipoise.host.evaluation import denoise
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.sampler import sample
from equipoise.host.start import check_data, start_parameters
from equipoise.host.trainer import Progress, train
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.errors import RunError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.phases import Minibatch

from .runs import small_config


def labelled(folder, first=True, **overrides):
    """Two clouds of points, and a network that is told which; the label before the input, or after it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 240)
    np.savez(
        folder / "clouds.npz", data=np.where(labels[:, None], 1, -1) + 0.2 * rng.normal(size=(240, 2)), labels=labels
    )
    label, given = Module("label", 2, clamped=True), Module("input", 2, clamped=True)
    modules = (*((label, given) if first else (given, label)), Module("hidden", 8), Module("output", 2, quartic=0.0))
    pairs = (("input", "hidden"), ("hidden", "output"), ("input", "output"), ("label", "hidden"), ("label", "output"))
    network = Network(modules, tuple(Coupling(a, b, 2) for a, b in pairs), "output", dt=0.25, levels=6)
    settings = {"steps": 150, "batch": 32, "free_steps": 20, "nudged_steps": 8, "learning_rate": 2e-2}
    return TrainConfig(
        "test", str(folder / "clouds.npz"), network, edm=Edm(levels=6, sigma_min=0.1, sigma_max=5.0),
        label="label", **settings | {"start": "wiener", "evaluate_every": 1000, "checkpoint_every": 1000} | overrides,
    )  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
def test_labels_stand_where_their_module_does(tmp_path, first):
    given = Minibatch(np.array([[5.0, 6.0]] * 3), np.zeros(3, np.int64))
    told = with_labels(labelled(tmp_path, first), given, np.array([0, 1, UNLABELLED])).clamped
    expected = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert np.array_equal(told[:, :2] if first else told[:, 2:], expected)
    assert np.array_equal(told[:, 2:] if first else told[:, :2], given.clamped)


def test_without_labels_nothing_changes(tmp_path):
    given = Minibatch(np.zeros((3, 12)), np.zeros(3, np.int64))
    assert with_labels(small_config(tmp_path), given, np.zeros(3, np.int64)) is given
    assert drop_labels(small_config(tmp_path), np.zeros(3, np.int64), 0) is None


def test_as_many_labels_are_dropped_as_asked_for(tmp_path):
    config = labelled(tmp_path, label_drop=0.25)
    dropped = [np.mean(drop_labels(config, np.ones(100, np.int64), step) == UNLABELLED) for step in range(100)]
    assert np.mean(dropped) == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(drop_labels(config, np.ones(9, np.int64), 4), drop_labels(config, np.ones(9, np.int64), 4))


def test_the_start_is_the_filter_whatever_the_class(tmp_path):
    config = labelled(tmp_path)
    parameters = start_parameters(config, load_data(config.data))
    number = [str(coupling) for coupling in config.network.couplings].index("label-output")
    assert not np.any(parameters.V[number])
    assert np.any(parameters.U[number])


def test_learns_classes_and_samples_of_the_one_asked_for(tmp_path):
    config = labelled(tmp_path, start="random")
    run = Run.create(tmp_path / "run", config)
    with FloatModel() as device:
        train(run, device, Progress())
        device.write(load_checkpoint(run)[0].average)
        drawn = {
            (label, guidance): sample(device, config, 60, 2, steps=8, labels=np.full(60, label), guidance=guidance)
            for label in (0, 1)
            for guidance in (1.0, 3.0)
        }
        free = sample(device, config, 60, 2, steps=8)
        unlabelled = sample(device, config, 60, 2, steps=8, labels=np.full(60, 1), guidance=0.0)
    assert np.mean(drawn[0, 1.0].sum(axis=1) < 0) > 0.95
    assert np.mean(drawn[1, 1.0].sum(axis=1) > 0) > 0.95
    assert drawn[1, 3.0].mean() > drawn[1, 1.0].mean()
    assert 0.2 < np.mean(free.sum(axis=1) > 0) < 0.8
    assert np.allclose(free, unlabelled, atol=1e-6)


def test_the_digits_recipe():
    config = recipe("digits-labels")
    check_data(config, load_data("digits"))
    assert config.classes == 10
    assert TrainConfig.from_json(config.to_json()) == config


def test_evaluation_tells_no_class(tmp_path):
    config = labelled(tmp_path)
    data = load_data(config.data)
    with FloatModel() as device:
        device.configure(config.network)
        device.write(start_parameters(config, data))
        assert denoise(device, config, data.test, np.ones(len(data.test))).shape == data.test.shape


def test_a_configuration_of_before_reads_and_writes_the_same(tmp_path):
    """Checkpoints carry a digest of it."""
    values = small_config(tmp_path).to_json()
    assert "label" not in values and "label_drop" not in values
    assert TrainConfig.from_json(values).to_json() == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "hidden"}, r"label of a training run must name one of the clamped modules \['label', 'input'\]"),
        ({"label_drop": 1.5}, "label_drop of a training run must be from 0 to 1, not 1.5"),
    ],
)
def test_configurations_that_make_no_sense(tmp_path, change, message):
    with pytest.raises(RunError, match=message):
        replace(labelled(tmp_path), **change)


def test_data_must_have_the_labels(tmp_path):
    config = labelled(tmp_path)
    with pytest.raises(RunError, match="has no labels, but the network has a module 'label' for them"):
        check_data(config, load_data("moons"))
    data = load_data(config.data)
    with pytest.raises(RunError, match="has a label 2, but module 'label' has neurons for 0 to 1"):
        check_data(config, replace(data, train_labels=data.train_labels + 1))
    with pytest.raises(RunError, match="Data set 'moons' has no labels"):
        recipe("digits-labels", "moons")
