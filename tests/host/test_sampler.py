"""Sampling: noise levels, samples of a known distribution by every sampler, warm start, and what a device must have."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.baselines import REPORT_SIGMAS, PosteriorMean, Wiener, baseline_errors, noisy_test
from equipoise.host.data import load_data
from equipoise.host.denoiser import Denoiser
from equipoise.host.levels import cosine_levels
from equipoise.host.optimisers import clip_parameters
from equipoise.host.sampler import Sampler, sample, schedule
from equipoise.host.start import start_parameters
from equipoise.host.thermal import ThermalDenoiser
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import CapabilityError

from .runs import small_config


def test_the_schedule_is_equation_5(tmp_path):
    config = small_config(tmp_path)
    sigmas = schedule(config, 10)
    low, high = config.edm.sigma_min, config.edm.sigma_max
    expected = [(high ** (1 / 7) + i / 9 * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(10)]
    assert np.allclose(sigmas, [*expected, 0.0])
    assert schedule(config, 1).tolist() == pytest.approx([high, 0.0])


@pytest.mark.parametrize("sampler", Sampler)
def test_levels_fall_from_the_highest_to_zero(tmp_path, sampler):
    config = small_config(tmp_path)
    sigmas = schedule(config, 7, sampler)
    assert sigmas[[0, -2, -1]] == pytest.approx([config.edm.sigma_max, config.edm.sigma_min, 0.0])
    assert np.all(np.diff(sigmas) < 0)


def test_cosine_levels_are_even_in_time(tmp_path):
    angles = np.arctan(cosine_levels(small_config(tmp_path).edm, 9)[:-1] / 0.5)
    assert np.allclose(np.diff(angles), np.diff(angles)[0])


def gaussian(folder, device, **overrides):
    """The best linear denoiser of a set of vectors, on a device: it generates the Gaussian with mean and covariance."""
    config = small_config(folder, (4,), start="wiener", free_steps=60, **overrides)
    data = load_data(config.data)
    quiet = start_parameters(config, data).map(np.copy)
    for number, coupling in enumerate(config.network.couplings):
        if "hidden" in (coupling.a, coupling.b):
            quiet.gain[number][:] = 0.0
    device.configure(config.network)
    device.write(clip_parameters(quiet)[0])
    return config, data


@pytest.mark.parametrize(
    ("sampler", "steps", "calls", "within"),
    [
        (Sampler.HEUN, 12, 23, 0.15),
        (Sampler.EULER, 40, 40, 0.3),
        (Sampler.DDIM, 40, 40, 0.3),
        (Sampler.ANCESTRAL, 60, 60, 0.3),
        (Sampler.LANGEVIN, 15, 60, 0.3),
    ],
)
def test_the_linear_filter_generates_the_gaussian(tmp_path, sampler, steps, calls, within):
    """With the best linear denoiser every sampler ends at the Gaussian with the data's mean and covariance."""
    with FloatModel() as device:
        config, data = gaussian(tmp_path, device)
        told = []
        drawn = sample(
            device, config, 1500, 4, steps=steps, sampler=sampler, progress=lambda done, total: told.append(total)
        )
    assert told == [calls] * calls
    spread = np.sqrt(np.diag(np.cov(data.train.T)))
    assert np.allclose(drawn.mean(axis=0), data.train.mean(axis=0), atol=0.1 * spread.max())
    assert np.allclose(np.cov(drawn.T), np.cov(data.train.T), atol=within * spread.max() ** 2)


@pytest.mark.parametrize("sampler", Sampler)
def test_samples_depend_on_the_seed_alone(tmp_path, sampler):
    config = small_config(tmp_path)
    with Golden() as device:
        device.configure(config.network)
        device.write(start_parameters(config, load_data(config.data)))
        drawn = [sample(device, config, 3, 12, steps=2, seed=seed, sampler=sampler) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("device_class", [FloatModel, Golden])
def test_a_warm_start_needs_fewer_steps(tmp_path, device_class):
    """From the states of a call at almost the same level, a few steps end nearer to the equilibrium than from zero."""
    config = small_config(tmp_path, (4,), free_steps=80)
    noisy = np.random.default_rng(0).normal(size=(9, 4))
    with device_class() as device:
        device.configure(config.network)
        device.write(start_parameters(config, load_data(config.data)))
        settled = Denoiser(device, config, free_steps=200)(noisy, np.full(9, 0.9))
        warm = Denoiser(device, config, free_steps=6, warm=True)
        warm.schedule = replace(warm.schedule, free_steps=80)
        warm(noisy, np.full(9, 1.0))
        warm.schedule = replace(warm.schedule, free_steps=6)
        errors = [
            np.sqrt(np.mean((denoised - settled) ** 2))
            for denoised in (
                warm(noisy, np.full(9, 0.9)),
                Denoiser(device, config, free_steps=6)(noisy, np.full(9, 0.9)),
            )
        ]
    assert errors[0] < 0.2 * errors[1]


def test_warm_samples_are_those_of_a_long_relaxation(tmp_path):
    config = small_config(tmp_path, free_steps=60)
    with Golden() as device:
        device.configure(config.network)
        device.write(start_parameters(config, load_data(config.data)))
        settled = sample(device, config, 300, 12, steps=6)  # more than a minibatch
        warm = sample(device, config, 300, 12, steps=6, warm=True)
    assert np.allclose(settled, warm, atol=5e-3)
    assert not np.array_equal(settled, warm)


class Bare(FloatModel):
    """A device with neither noise nor initial states."""

    @property
    def identity(self):
        return replace(super().identity, address="bare:", thermal=False, warm_start=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm": True}, "bare: begins every run from zero: leave out the warm start"),
        ({"sampler": Sampler.LANGEVIN}, "bare: has no thermal noise: choose a sampler that needs none"),
    ],
)
def test_what_a_device_lacks_is_refused(tmp_path, options, message):
    config = small_config(tmp_path)
    with Bare() as device:
        device.configure(config.network)
        device.write(start_parameters(config, load_data(config.data)))
        with pytest.raises(CapabilityError, match=message):
            sample(device, config, 1, 12, **options)


def test_langevin_starts_from_noise_not_from_states(tmp_path):
    with pytest.raises(CapabilityError, match="leave out the warm start"):
        sample(FloatModel(), small_config(tmp_path), 1, 12, sampler=Sampler.LANGEVIN, warm=True)


def test_langevin_adds_no_noise_where_levels_lie_further_apart_than_a_step_takes_away(tmp_path):
    """What is left of the noise is then exactly the next level's: rounding must not make it a square root below 0."""
    with FloatModel() as device:
        config, _ = gaussian(tmp_path, device)
        for steps in (4, 5, 8, 9, 10):
            drawn = sample(device, config, 4, 4, steps=steps, sampler=Sampler.LANGEVIN, free_steps=2)
            assert np.all(np.isfinite(drawn)), steps


@pytest.mark.parametrize("device_class", [FloatModel, Golden])
def test_the_noise_of_the_device_is_normal_of_variance_one(tmp_path, device_class):
    with device_class() as device:
        config, _ = gaussian(tmp_path, device)
        thermal = ThermalDenoiser(device, config)
        thermal.calibrate(np.array([0.5]), 4, 0)
        noisy = np.random.default_rng(1).normal(size=(1000, 4))
        quiet = Denoiser(device, config)(noisy, np.full(1000, 0.5))
        denoised = thermal(noisy, np.full(1000, 0.5), seed=7)
    assert np.cov(thermal.noise.T) == pytest.approx(np.eye(4), abs=0.2)
    assert np.abs(denoised - quiet).max() < 0.1
    joint = np.mean(thermal.noise * (denoised - quiet)) / np.std(denoised - quiet)
    assert abs(joint) < 5 / np.sqrt(4000)


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


def test_the_posterior_mean_is_that_of_a_known_prior():
    """Of two points it is m tanh(m y / sigma^2); no denoiser of samples drawn from its own points is better."""
    points = np.array([[-0.5], [0.5]])
    noisy = np.linspace(-2, 2, 9)[:, None]
    for sigma in (0.05, 0.3, 2.0):
        expected = 0.5 * np.tanh(0.5 * noisy / sigma**2)
        assert PosteriorMean(points).denoise(noisy, sigma) == pytest.approx(expected, abs=1e-12)


def test_baselines_of_the_digits():
    data = load_data("digits")
    errors = baseline_errors(data)
    assert errors["identity"] == pytest.approx([sigma**2 for sigma in REPORT_SIGMAS], rel=0.03)
    assert len(set(errors["mean"])) == 1
    assert np.all(np.array(errors["wiener"]) < errors["identity"])
    assert np.array_equal(noisy_test(data, 0.3), noisy_test(data, 0.3))
