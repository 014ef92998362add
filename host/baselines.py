"""What a denoiser must be compared with: doing nothing, the mean, the best linear filter, and the posterior mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .data import Dataset

__all__ = ["REPORT_SIGMAS", "PosteriorMean", "Wiener", "baseline_errors", "noisy_test"]

Array = NDArray[np.float64]

REPORT_SIGMAS = (0.3, 0.6, 1.0, 2.0)
"""Noise levels at which denoising is evaluated."""


class Wiener:
    """The best linear filter, by the training set's mean mu and covariance C: mu + C (C + sigma^2 I)^-1 (y - mu).

    Attributes
    ----------
    mean
        (d,).
    variances, directions
        Eigenvalues of C, descending, and its eigenvectors in columns.
    """

    def __init__(self, train: Array) -> None:
        self.mean = train.mean(axis=0)
        variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(train.T)))
        self.variances = np.maximum(variances[::-1], 0.0)
        self.directions = directions[:, ::-1]

    def denoise(self, noisy: Array, sigma: float) -> Array:
        """Denoised samples, (n, d)."""
        shrink = self.variances / (self.variances + sigma**2)
        return np.asarray(self.mean + ((noisy - self.mean) @ self.directions * shrink) @ self.directions.T)


class PosteriorMean:
    """The mean of the training samples, each weighted by how likely it is: the best denoiser, were there no others.

    (Karras et al. 2022, arXiv:2206.00364, eq. 57.) Where the noise is strong it says how far a linear filter can be
    beaten at all; where it is weak, it knows too few samples.
    """

    def __init__(self, train: Array) -> None:
        self._train = train

    def denoise(self, noisy: Array, sigma: float) -> Array:
        """Denoised samples, (n, d)."""
        distance = (noisy**2).sum(axis=1)[:, None] - 2 * noisy @ self._train.T + (self._train**2).sum(axis=1)
        weight = special.softmax(-distance / (2 * sigma**2), axis=1)
        return np.asarray(weight @ self._train)


def noisy_test(data: Dataset, sigma: float) -> Array:
    """The held-out samples with the noise that every evaluation uses, (m, d)."""
    rng = np.random.default_rng([2604, 23806, round(sigma * 1000)])
    return np.asarray(data.test + sigma * rng.normal(size=data.test.shape))


def baseline_errors(data: Dataset) -> dict[str, list[float]]:
    """Mean squared error on held-out samples at each of :data:`REPORT_SIGMAS`, for each baseline."""
    wiener = Wiener(data.train)
    errors: dict[str, list[float]] = {"wiener": [], "identity": [], "mean": []}
    for sigma in REPORT_SIGMAS:
        noisy = noisy_test(data, sigma)
        for name, denoised in (
            ("wiener", wiener.denoise(noisy, sigma)),
            ("identity", noisy),
            ("mean", np.broadcast_to(wiener.mean, noisy.shape)),
        ):
            errors[name].append(float(np.mean((denoised - data.test) ** 2)))
    return errors
