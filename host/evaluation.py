"""Evaluation on held-out data: denoising error by noise level, and the device's gradient against the oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..substrate.energy import oracle
from ..substrate.interface import Substrate
from ..substrate.parameters import cosine
from .baselines import REPORT_SIGMAS, noisy_test
from .conditioning import with_labels
from .config import TrainConfig
from .data import Dataset
from .denoiser import Denoiser
from .edm import Edm
from .random import device_seed

__all__ = ["denoise", "denoising_errors", "gradient_cosine"]

Array = NDArray[np.float64]

_COSINE_SAMPLES = 16


def denoise(device: Substrate, config: TrainConfig, noisy: Array, sigma: Array, seed: int = 0) -> Array:
    """Denoise samples (n, d) at sigma (n,), their classes not told, by free runs on the device."""
    return Denoiser(device, config)(noisy, sigma, seed)


def denoising_errors(
    device: Substrate, config: TrainConfig, data: Dataset, step: int
) -> tuple[list[float], dict[str, Array]]:
    """Mean squared error on held-out samples at each report level; and images of the first few."""
    errors, noisy_rows, denoised_rows = [], [], []
    for index, sigma in enumerate(REPORT_SIGMAS):
        noisy = noisy_test(data, sigma)
        seed = device_seed(config.seed, f"evaluation {index}", step)
        denoised = denoise(device, config, noisy, np.full(len(noisy), sigma), seed)
        errors.append(float(np.mean((denoised - data.test) ** 2)))
        noisy_rows.append(data.original(noisy))
        denoised_rows.append(data.original(denoised))
    shown = 10 if len(data.shape) > 1 else len(data.test)
    images = {
        "sigmas": np.array(REPORT_SIGMAS),
        "clean": data.original(data.test)[:shown],
        "noisy": np.stack(noisy_rows)[:, :shown],
        "denoised": np.stack(denoised_rows)[:, :shown],
    }
    return errors, images


def gradient_cosine(device: Substrate, config: TrainConfig, data: Dataset, step: int) -> float:
    """Cosine of the device's contrast to the oracle gradient, on a held-out batch with the parameters it holds."""
    edm: Edm = config.edm
    clean = data.test[:_COSINE_SAMPLES]
    sigma = np.resize(np.array(REPORT_SIGMAS), len(clean))
    noise = np.random.default_rng(23806).normal(size=clean.shape)
    minibatch, _ = edm.minibatch(clean + sigma[:, None] * noise, sigma, clean)
    minibatch = with_labels(config, minibatch, None if data.test_labels is None else data.test_labels[:_COSINE_SAMPLES])
    result = device.run(minibatch, config.schedule(device_seed(config.seed, "cosine", step)))
    if result.contrast is None:
        return float("nan")
    return cosine(result.contrast, oracle(config.network, device.read(), minibatch))
