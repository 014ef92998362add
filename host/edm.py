"""Denoising by a bounded network: EDM preconditioning and noise levels (Karras et al. 2022, arXiv:2206.00364)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..substrate.formats import FORMATS
from ..substrate.phases import Minibatch
from .data import SIGMA_DATA

__all__ = ["Edm"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Edm:
    """Preconditioning, training noise, and the table of noise levels.

    The denoiser is D(y; sigma) = c_skip y + c_out F(c_in y; sigma) (Karras et al. 2022, eq. 7), with the substrate
    as F: it sees c_in y on its clamped module, and the gains and biases of the noise level next to sigma. With the loss
    weight 1 / c_out^2 the loss is the plain squared error of F against (x - c_skip y) / c_out (eq. 8), the cost
    that the substrate is nudged by.

    Attributes
    ----------
    levels
        Number of noise levels.
    sigma_min, sigma_max
        Standard deviation of the noise at the lowest and the highest level; levels are spaced evenly in its logarithm.
    mean, deviation
        Of ln sigma in training (P_mean and P_std).
    """

    levels: int = 32
    sigma_min: float = 0.05
    sigma_max: float = 10.0
    mean: float = -0.5
    deviation: float = 1.1

    def sigmas(self) -> Array:
        """Sigma of each level, (levels,)."""
        return np.geomspace(self.sigma_min, self.sigma_max, self.levels)

    def level(self, sigma: Array) -> NDArray[np.int64]:
        """Level next to each sigma, in the logarithm."""
        if self.levels == 1:
            return np.zeros(np.shape(sigma), np.int64)
        span = np.log(self.sigma_max / self.sigma_min)
        position = np.log(sigma / self.sigma_min) / span * (self.levels - 1)
        return np.asarray(np.clip(np.floor(position + 0.5), 0, self.levels - 1), np.int64)

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Log-normal sigmas for training, within the range of the levels; (count,)."""
        drawn = np.exp(rng.normal(self.mean, self.deviation, count))
        return np.asarray(np.clip(drawn, self.sigma_min, self.sigma_max))

    @staticmethod
    def c_skip(sigma: Array) -> Array:
        """Share of the noisy sample in the denoised one."""
        return np.asarray(SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2))

    @staticmethod
    def c_out(sigma: Array) -> Array:
        """Scale of the network's output."""
        return np.asarray(sigma * SIGMA_DATA / np.sqrt(sigma**2 + SIGMA_DATA**2))

    @staticmethod
    def c_in(sigma: Array) -> Array:
        """Scale of the network's input."""
        return np.asarray(1 / np.sqrt(sigma**2 + SIGMA_DATA**2))

    def minibatch(self, noisy: Array, sigma: Array, clean: Array | None = None) -> tuple[Minibatch, int]:
        """What the substrate is given for noisy samples (B, d) at sigma (B,), and with ``clean`` its targets.

        Returns the minibatch, and how many numbers had to be clipped to the range of a neuron's state. (Inputs and
        targets have variance 1; a state reaches +-4.)
        """
        column = sigma[:, None]
        limit = FORMATS.state.limit
        inputs = self.c_in(column) * noisy
        clipped = int(np.count_nonzero(np.abs(inputs) > limit))
        target = None
        if clean is not None:
            target = (clean - self.c_skip(column) * noisy) / self.c_out(column)
            clipped += int(np.count_nonzero(np.abs(target) > limit))
            target = np.clip(target, -limit, limit)
        return Minibatch(np.clip(inputs, -limit, limit), self.level(sigma), target), clipped

    def denoised(self, outputs: Array, noisy: Array, sigma: Array) -> Array:
        """D(y; sigma) from the substrate's outputs; (B, d)."""
        column = sigma[:, None]
        return np.asarray(self.c_skip(column) * noisy + self.c_out(column) * outputs)
