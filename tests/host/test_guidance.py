"""Guidance beyond the linear filter: what it does to a denoiser, to samples, and who says how far."""

import json

import numpy as np
import pytest

from equipoise.host.baselines import Wiener
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.config import TrainConfig
from equipoise.host.data import load_data
from equipoise.host.guidance import Beyond
from equipoise.host.run import Run
from equipoise.host.sampler import Sampler, sample
from equipoise.host.trainer import Progress, train
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.errors import RunError

from .runs import small_config

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(50, 3))


def test_it_goes_on_from_the_linear_filter():
    noisy, denoised = RNG.normal(size=(2, 7, 3))
    linear = Wiener(TRAIN).denoise(noisy, 0.7)
    assert np.allclose(Beyond(TRAIN, 0.0)(denoised, noisy, 0.7), linear)
    assert Beyond(TRAIN, 1.0)(denoised, noisy, 0.7) is denoised
    assert np.allclose(Beyond(TRAIN, 2.0)(denoised, noisy, 0.7), 2 * denoised - linear)
    assert np.allclose(Beyond(TRAIN, 3.0)(linear, noisy, 0.7), linear)


@pytest.mark.parametrize("factor", [-0.1, np.nan, np.inf])
def test_factors_that_are_refused(tmp_path, factor):
    with pytest.raises(RunError, match="beyond the linear filter must be finite and at least 0, not"):
        Beyond(TRAIN, factor)
    with pytest.raises(RunError, match="beyond of a training run must be finite and at least 0, not"):
        small_config(tmp_path, beyond=factor)


def test_a_run_without_it_keeps_its_configuration(tmp_path):
    assert "beyond" not in small_config(tmp_path).to_json()
    config = small_config(tmp_path, beyond=1.5)
    assert TrainConfig.from_json(config.to_json()).beyond == 1.5


@pytest.mark.parametrize("sampler", [each for each in Sampler if each is not Sampler.LANGEVIN])
def test_samplers_denoise_so(tmp_path, sampler):
    """Guided all the way back to the linear filter, samples are those of any other network so guided."""
    config = small_config(tmp_path, (4,), steps=2, free_steps=40)
    data = load_data(config.data)
    run = Run.create(tmp_path / "run", config)
    with FloatModel() as device:
        train(run, device, Progress())

        def drawn(factor):
            beyond = Beyond(data.train, factor)
            return sample(device, config, 20, 4, steps=3, sampler=sampler, beyond=beyond)

        checkpoint, _ = load_checkpoint(run)
        device.write(checkpoint.average)
        linear, own = drawn(0.0), drawn(1.0)
        assert np.array_equal(own, sample(device, config, 20, 4, steps=3, sampler=sampler))
        device.write(checkpoint.average.map(lambda leaf: 0.5 * leaf))
        assert np.allclose(drawn(0.0), linear, atol=1e-12)
        assert not np.allclose(drawn(1.0), own, atol=1e-3)


def test_the_commands_go_as_far_as_the_run_unless_told(call, tmp_path):
    config = small_config(tmp_path, steps=1, beyond=2.0)
    with FloatModel() as device:
        train(Run.create("run", config), device, Progress())

    def saved(*arguments):
        assert call("sample", "run", "-n", 5, "--steps", 2, "--device", "float:", "--save", "s.npz", *arguments)[0] == 0
        with np.load("s.npz") as file:
            return file["samples"]

    with pytest.raises(AssertionError):
        np.testing.assert_allclose(saved(), saved("--beyond", 1))
    assert np.array_equal(saved(), saved("--beyond", 2))
    for arguments, expected in (((), 2.0), (("--beyond", 1.25), 1.25)):
        out = call("evaluate", "run", "-n", 20, "--steps", 2, "--device", "float:", "--json", *arguments)[1]
        assert json.loads(out)["sampling"]["beyond"] == expected
