"""The device's own noise as the noise of Langevin sampling.

At temperature T the output module ends a free run about its equilibrium with a variance of about T over its stiffness.
A Langevin step that goes a part e of the way to the denoised sample needs noise of sigma sqrt(e (2 - e)); what the
device's fluctuation brings by itself is e c_out sqrt(T). They would be equal at T = (2 - e) / e (1 + sigma^2 /
sigma_data^2), above 5 at any level: states would leave their range of +-4, and the network would compute something
else. So the device runs at a small T, two replicas of each sample: their mean denoises, and their difference,
amplified, is the noise. Of equal normal fluctuations, mean and difference are independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..substrate.interface import Substrate
from .config import TrainConfig
from .data import SIGMA_DATA, Labels
from .denoiser import Denoiser

__all__ = ["ThermalDenoiser"]

Array = NDArray[np.float64]

_TEMPERATURE = 1e-3
"""Fluctuations of 0.03: far above the rounding of a device, far below what bends a neuron."""

_PROBES = 256
"""Pairs of replicas that the strength of the fluctuations is measured on."""


class ThermalDenoiser:
    """Denoises, and brings noise of variance 1 from the device with every call.

    Attributes
    ----------
    noise
        Of the last call, (n, d).
    """

    def __init__(self, device: Substrate, config: TrainConfig, free_steps: int | None = None) -> None:
        self._denoise = Denoiser(
            device, config, free_steps=free_steps, temperature=config.temperature or _TEMPERATURE
        )  # fmt: skip
        self._white: dict[float, Array] = {}
        self.noise: Array = np.zeros((0, 0))

    def calibrate(self, sigmas: Array, size: int, seed: int) -> None:
        """Measure at each noise level how the difference of two replicas is distributed.

        Couplings among free neurons make it stronger in some directions. What of that is more than chance is taken out,
        by the covariance of Ledoit and Wolf 2004.
        """
        from sklearn.covariance import ledoit_wolf

        rng = np.random.default_rng(seed)
        for number, sigma in enumerate(sigmas.tolist()):
            noisy = np.sqrt(sigma**2 + SIGMA_DATA**2) * rng.normal(size=(_PROBES, size))
            _, difference = self._replicas(noisy, np.full(_PROBES, sigma), seed + 2**32 * (number + 1), None)
            covariance, _ = ledoit_wolf(difference, assume_centered=True)
            self._white[sigma] = np.linalg.inv(np.linalg.cholesky(covariance)).T

    def __call__(self, noisy: Array, sigma: Array, seed: int = 0, labels: Labels | None = None) -> Array:
        """Denoise samples (n, d), all at one of the calibrated levels sigma (n,)."""
        denoised, difference = self._replicas(noisy, sigma, seed, labels)
        self.noise = difference @ self._white[float(sigma[0])]
        return denoised

    def _replicas(self, noisy: Array, sigma: Array, seed: int, labels: Labels | None) -> tuple[Array, Array]:
        twice = None if labels is None else np.tile(labels, 2)
        both = self._denoise(np.tile(noisy, (2, 1)), np.tile(sigma, 2), seed % 2**64, twice)
        first, second = np.split(both, 2)
        return (first + second) / 2, first - second
