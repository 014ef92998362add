"""Sampling: the schedule of Karras et al., and samples of a known distribution."""

import numpy as np
import pytest

from equipoise.host.baselines import REPORT_SIGMAS, Wiener, baseline_errors, noisy_test
from equipoise.host.data import load_data
from equipoise.host.sampler import Sampler, sample, schedule
from equipoise.host.start import start_parameters
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden

from .runs import small_config


def test_the_schedule_is_equation_5(tmp_path):
    config = small_config(tmp_path)
    sigmas = schedule(config, 10)
    low, high = config.edm.sigma_min, config.edm.sigma_max
    expected = [(high ** (1 / 7) + i / 9 * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(10)]
    assert np.allclose(sigmas, [*expected, 0.0])
    assert schedule(config, 1).tolist() == pytest.approx([high, 0.0])


@pytest.mark.parametrize(("sampler", "steps", "within"), [(Sampler.HEUN, 12, 0.15), (Sampler.EULER, 40, 0.3)])
def test_the_linear_filter_generates_the_gaussian(tmp_path, sampler, steps, within):
    """With the best linear denoiser the probability flow ends at the Gaussian with the data's mean and covariance."""
    config = small_config(tmp_path, (4,), start="wiener", free_steps=60)
    data = load_data(config.data)
    parameters = start_parameters(config, data)
    quiet = parameters.map(np.copy)
    for number, coupling in enumerate(config.network.couplings):
        if "hidden" in (coupling.a, coupling.b):
            quiet.gain[number][:] = 0.0
    with FloatModel() as device:
        device.configure(config.network)
        device.write(quiet)
        calls = []
        drawn = sample(
            device, config, 1500, 4, steps=steps, sampler=sampler, progress=lambda done, total: calls.append(total)
        )
    assert calls == [2 * steps - 1 if sampler is Sampler.HEUN else steps] * len(calls) and len(calls) == calls[0]
    spread = np.sqrt(np.diag(np.cov(data.train.T)))
    assert np.allclose(drawn.mean(axis=0), data.train.mean(axis=0), atol=0.1 * spread.max())
    assert np.allclose(np.cov(drawn.T), np.cov(data.train.T), atol=within * spread.max() ** 2)


def test_samples_depend_on_the_seed_alone(tmp_path):
    config = small_config(tmp_path)
    with Golden() as device:
        device.configure(config.network)
        device.write(start_parameters(config, load_data(config.data)))
        drawn = [sample(device, config, 3, 12, steps=2, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_wiener_filter_is_the_best_linear_one():
    data = load_data("digits")
    filter_ = Wiener(data.train)
    noisy = data.train + 0.5 * np.random.default_rng(0).normal(size=data.train.shape)
    error = np.mean((filter_.denoise(noisy, 0.5) - data.train) ** 2)
    rng = np.random.default_rng(1)
    for _ in range(5):
        other = Wiener(data.train)
        other.variances = other.variances * np.exp(0.5 * rng.normal(size=64))
        assert np.mean((other.denoise(noisy, 0.5) - data.train) ** 2) > error


def test_baselines_of_the_digits():
    data = load_data("digits")
    errors = baseline_errors(data)
    assert errors["identity"] == pytest.approx([sigma**2 for sigma in REPORT_SIGMAS], rel=0.03)
    assert len(set(errors["mean"])) == 1
    assert np.all(np.array(errors["wiener"]) < errors["identity"])
    assert np.array_equal(noisy_test(data, 0.3), noisy_test(data, 0.3))
