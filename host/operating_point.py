"""The operating point of a device: which beta gives the best gradient, and how good that is.

A contrast is wrong in two ways. Its *bias*, the error of its mean, grows with beta. Its *variance*, from thermal noise,
read-out noise and rounding, falls with beta, for the same noise is divided by a larger number. Between them lies the
beta of the smallest mean squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from ..substrate.energy import oracle
from ..substrate.interface import Substrate
from ..substrate.network import Network
from ..substrate.phases import Estimator, Minibatch, Schedule

__all__ = ["BestBeta", "Errors", "beta_grid", "measure_errors"]

Array = NDArray[np.float64]

_RESAMPLES = 400
"""Of the bootstrap: enough for a 95 % interval of a place on the grid."""


@dataclass(frozen=True, slots=True)
class BestBeta:
    """The beta of the smallest mean squared error.

    Attributes
    ----------
    beta
        Between the points of the grid, by a parabola through the three lowest.
    low, high
        Its 95 % interval, by bootstrap over the minibatches.
    error
        Root of the mean squared error there, as a part of the gradient's norm.
    inside
        Whether the minimum is inside the grid: at an end of it a better one may lie beyond.
    """

    beta: float
    low: float
    high: float
    error: float
    inside: bool


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of the contrast at each beta, on K minibatches of b samples.

    Attributes
    ----------
    betas
        Ascending, (n,).
    errors
        Contrast less oracle as vectors, the same minibatches at each beta; (n, K, parameters).
    scale
        Root mean square of the oracle's norm: what errors are shown as parts of.
    samples
        Samples of a minibatch, b.
    """

    betas: Array
    errors: Array
    scale: float
    samples: int

    def variance(self, batch: int) -> Array:
        """Variance for a minibatch of ``batch`` samples, as a part of the squared norm; (n,)."""
        return _variance(self.errors) * self.samples / batch / self.scale**2

    def bias(self) -> Array:
        """Squared bias, as a part of the squared norm; (n,). What variance adds is taken off, so it may be negative."""
        return _squared_bias(self.errors) / self.scale**2

    def mean_squared(self, batch: int) -> Array:
        """Squared bias, at least 0, and variance for a minibatch of ``batch`` samples; (n,)."""
        return np.maximum(self.bias(), 0.0) + self.variance(batch)

    def best(self, batch: int, seed: int = 0) -> BestBeta:
        """The best beta for minibatches of ``batch`` samples, with its uncertainty."""

        def place(chosen: NDArray[np.int64]) -> float:
            sample = replace(self, errors=self.errors[:, chosen])
            return _lowest(np.log2(self.betas), sample.mean_squared(batch))[0]

        numbers = np.arange(self.errors.shape[1])
        at, value = _lowest(np.log2(self.betas), self.mean_squared(batch))
        interval = bootstrap(
            (numbers,), lambda chosen: place(np.asarray(chosen, np.int64)), n_resamples=_RESAMPLES, vectorized=False,
            method="percentile", rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        lowest = int(np.argmin(self.mean_squared(batch)))
        inside = 0 < lowest < len(self.betas) - 1
        low, high = sorted((2.0 ** float(interval.low), 2.0 ** float(interval.high)))
        return BestBeta(2.0**at, low, high, float(np.sqrt(value)), inside)


def beta_grid(network: Network, smallest: float = 2.0**-11) -> Array:
    """Powers of two from ``smallest`` up to what the stiffness of the output allows."""
    stiffness = float(network.stiffness[network.slices[network.output]].min())
    count = int(np.floor(np.log2(stiffness * 0.999 / smallest))) + 1
    return smallest * 2.0 ** np.arange(count)


def measure_errors(
    device: Substrate, network: Network, minibatches: Sequence[Minibatch], schedule: Schedule, betas: Array,
    seeds: Sequence[int], progress: Callable[[], None] = lambda: None,
) -> Errors:  # fmt: skip
    """Measure the contrast of each minibatch at each beta, with the parameters that the device holds.

    A minibatch keeps its seed at all betas, so what differs between them is beta.

    Parameters
    ----------
    minibatches
        At least 2, all of one size, with targets.
    schedule
        Steps, estimator and temperature; its beta and seed are replaced.
    seeds
        Of the device's noise, one for each minibatch.
    progress
        Called after each run.
    """
    if schedule.estimator is Estimator.FREE:
        raise ValueError("The operating point needs an estimator that gives a contrast, not free")
    parameters = device.read()
    truths = np.stack([oracle(network, parameters, minibatch).vector() for minibatch in minibatches])
    errors = np.empty((len(betas), *truths.shape))
    for row, beta in enumerate(betas):
        for number, (minibatch, seed) in enumerate(zip(minibatches, seeds, strict=True)):
            contrast = device.run(minibatch, replace(schedule, beta=float(beta), seed=seed)).contrast
            assert contrast is not None
            errors[row, number] = contrast.vector() - truths[number]
            progress()
    scale = float(np.sqrt(np.mean(np.sum(truths**2, axis=1))))
    return Errors(np.asarray(betas, float), errors, scale, len(minibatches[0]))


def _variance(errors: Array) -> Array:
    return np.asarray(np.var(errors, axis=1, ddof=1).sum(axis=-1))


def _squared_bias(errors: Array) -> Array:
    count = errors.shape[1]
    return np.asarray((errors.mean(axis=1) ** 2).sum(axis=-1) - _variance(errors) / count)


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
