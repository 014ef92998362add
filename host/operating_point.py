"""The operating point of a device: which beta gives the best gradient, and how good that is.

A contrast is wrong in two ways. Its *bias*, the error of its mean, grows with beta. Its *variance*, from thermal noise,
read-out noise and rounding, falls with beta, for the same noise is divided by a larger number. Between them lies the
beta of the smallest mean squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from ..substrate.energy import oracle
from ..substrate.interface import Substrate
from ..substrate.network import Network
from ..substrate.phases import Estimator, Minibatch, Schedule

__all__ = ["BestBeta", "Errors", "beta_grid", "errors_at", "truths_of"]

Array = NDArray[np.float64]

_RESAMPLES = 400
"""Of the bootstrap: enough for a 95 % interval of a place on the grid."""


@dataclass(frozen=True, slots=True)
class BestBeta:
    """The beta of the smallest mean squared error.

    Attributes
    ----------
    beta
        Between the points of the grid, by a parabola through the lowest and its neighbours.
    low, high
        Its 95 % interval, by bootstrap over the minibatches.
    error
        Root of the mean squared error there, as a part of the gradient's norm.
    error_low, error_high
        Its 95 % interval.
    inside
        Whether the minimum is inside the grid: at an end of it a better one may lie beyond.
    """

    beta: float
    low: float
    high: float
    error: float
    error_low: float
    error_high: float
    inside: bool


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of the contrast at each beta, on the same K minibatches of b samples.

    Attributes
    ----------
    betas
        Ascending, (n,).
    products
        Scalar products of the K errors (contrast less oracle) with one another, as parts of the mean squared norm of
        the oracle; (n, K, K). Bias and variance of any choice of minibatches follow from them.
    samples
        Samples of a minibatch, b.
    """

    betas: Array
    products: Array
    samples: int

    def variance(self, batch: int) -> Array:
        """Variance for a minibatch of ``batch`` samples, as a part of the squared norm; (n,)."""
        return self._variance() * self.samples / batch

    def bias(self) -> Array:
        """Squared bias, as a part of the squared norm; (n,). What variance adds is taken off: it may be negative."""
        count = self.products.shape[1]
        return np.asarray(self.products.sum(axis=(1, 2)) / count**2 - self._variance() / count)

    def mean_squared(self, batch: int) -> Array:
        """Squared bias, at least 0, and variance for a minibatch of ``batch`` samples; (n,)."""
        return np.maximum(self.bias(), 0.0) + self.variance(batch)

    def chosen(self, numbers: NDArray[np.int64]) -> Errors:
        """Errors on some of the minibatches, which may be chosen more than once."""
        return replace(self, products=self.products[:, numbers][:, :, numbers])

    def lowest(self, batch: int) -> tuple[float, float]:
        """Beta of the smallest mean squared error, and the root of that error."""
        at, value = _lowest(np.log2(self.betas), self.mean_squared(batch))
        return 2.0**at, float(np.sqrt(value))

    def best(self, batch: int, seed: int = 0) -> BestBeta:
        """The best beta for minibatches of ``batch`` samples, with its uncertainty."""
        beta, error = self.lowest(batch)
        interval = bootstrap(
            (np.arange(self.products.shape[1]),),
            lambda numbers: np.array(self.chosen(numbers.astype(np.int64)).lowest(batch)),
            n_resamples=_RESAMPLES, vectorized=False, method="percentile", rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        place = int(np.argmin(self.mean_squared(batch)))
        (low, error_low), (high, error_high) = interval.low.tolist(), interval.high.tolist()
        return BestBeta(beta, low, high, error, error_low, error_high, 0 < place < len(self.betas) - 1)

    def _variance(self) -> Array:
        count = self.products.shape[1]
        own = np.trace(self.products, axis1=1, axis2=2)
        return np.asarray((own - self.products.sum(axis=(1, 2)) / count) / (count - 1))


def beta_grid(network: Network, smallest: float) -> Array:
    """Powers of two from ``smallest`` up to what the stiffness of the output allows, itself excluded."""
    stiffness = float(network.stiffness[network.slices[network.output]].min())
    betas = smallest * 2.0 ** np.arange(32)
    return np.asarray(betas[betas < stiffness])


def truths_of(device: Substrate, network: Network, minibatches: Sequence[Minibatch]) -> Array:
    """Oracle of each minibatch as a vector, with the parameters that the device holds; (K, parameters)."""
    parameters = device.read()
    return np.stack([oracle(network, parameters, minibatch).vector() for minibatch in minibatches])


def errors_at(
    device: Substrate, minibatches: Sequence[Minibatch], truths: Array, schedule: Schedule, seeds: Sequence[int],
    *, scaled: bool = False,
) -> Array:  # fmt: skip
    """Scalar products of the contrast's errors with one another at one beta: one of :attr:`Errors.products`, (K, K).

    Parameters
    ----------
    minibatches
        At least 2, all of one size, with targets.
    truths
        What :func:`truths_of` gives for them.
    schedule
        With an estimator that has a contrast; its seed is replaced.
    seeds
        Of the device's noise, one for each minibatch. The same for every beta, so that only beta differs.
    scaled
        Whether contrasts are first multiplied by one factor for all, that which makes the errors least: where only the
        direction counts.
    """
    if schedule.estimator is Estimator.FREE:
        raise ValueError("The operating point needs an estimator that has a contrast, not free")
    rows: list[Any] = []
    for minibatch, seed in zip(minibatches, seeds, strict=True):
        contrast = device.run(minibatch, replace(schedule, seed=seed)).contrast
        assert contrast is not None
        rows.append(contrast.vector())
    contrasts = np.stack(rows)
    if scaled and (power := float(np.sum(contrasts**2))):
        contrasts *= float(np.sum(contrasts * truths)) / power
    errors = contrasts - truths
    return np.asarray(errors @ errors.T / np.mean(np.sum(truths**2, axis=1)))


def _lowest(at: Array, values: Array) -> tuple[float, float]:
    """Place and height of the minimum: of the parabola through the lowest point and its neighbours, in logarithms."""
    lowest = int(np.argmin(values))
    if lowest in (0, len(values) - 1) or values[lowest] <= 0:
        return float(at[lowest]), float(values[lowest])
    near = slice(lowest - 1, lowest + 2)
    a, b, c = np.polyfit(at[near] - at[lowest], np.log(values[near]), 2)
    if a <= 0:
        return float(at[lowest]), float(values[lowest])
    move = float(np.clip(-b / (2 * a), -1, 1))
    return float(at[lowest] + move), float(np.exp(a * move**2 + b * move + c))
