"""Distances between two sets of samples, and their confidence intervals.

All are 0 in the limit for two sets of one distribution, and for finite sets are as large as chance makes them: compare
with the same distance between real training and real held-out data, at the same number of samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from ..studies.statistics import LEVEL, Interval, share

__all__ = ["distance", "frechet", "maximum_mean_discrepancy", "precision", "recall", "sliced_wasserstein"]

Array = NDArray[np.float64]

_DIRECTIONS = 128
_HALVES = 200
"""Half samples that an interval is made from."""

_NEIGHBOURS = 3
_BANDWIDTHS = (0.5, 1.0, 2.0)
"""Of the kernels, in medians of the distance between held-out samples."""


def distance(measure: Callable[[Array, Array], float], samples: Array, reference: Array, seed: int = 0) -> Interval:
    """A distance between two sets (n, d) and (m, d), with its interval by half samples.

    A bootstrap draws samples twice, and sets with doubles in them are further apart. Half of each set, drawn without
    replacement, has none, and a mean over it scatters about that of the whole set as that does about the truth
    (delete-half jackknife, Shao and Wu 1989). Only the scatter is taken from halves: the value is that of all samples.
    """
    value = float(measure(samples, reference))
    if min(len(samples), len(reference)) < 8:
        return Interval(value, -np.inf, np.inf, len(samples))
    rng = np.random.default_rng(seed)
    halves = [
        measure(*(each[rng.permutation(len(each))[: len(each) // 2]] for each in (samples, reference)))
        for _ in range(_HALVES)
    ]
    reach = float(stats.norm.ppf((1 + LEVEL) / 2) * np.std(halves, ddof=1))
    return Interval(value, value - reach, value + reach, len(samples))


def sliced_wasserstein(samples: Array, reference: Array) -> float:
    """Root of the mean, over directions, of the squared Wasserstein-2 distance of what is projected on each."""
    directions = np.random.default_rng(0).normal(size=(_DIRECTIONS, samples.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    count = max(len(samples), len(reference))
    places = (np.arange(count) + 0.5) / count
    quantiles = [
        np.quantile(each @ directions.T, places, axis=0, method="inverted_cdf") for each in (samples, reference)
    ]
    return float(np.sqrt(np.mean((quantiles[0] - quantiles[1]) ** 2)))


def maximum_mean_discrepancy(reference: Array) -> Callable[[Array, Array], float]:
    """The squared maximum mean discrepancy, unbiased (Gretton et al. 2012, eq. 3), so that it can be below 0.

    The kernel is a mean of Gaussian ones, as wide as the distance of ``reference`` samples, whichever halves of the
    sets are compared.
    """
    width = float(np.median(pdist(reference))) or 1.0

    def kernel(a: Array, b: Array) -> Array:
        gammas = [1 / (2 * (factor * width) ** 2) for factor in _BANDWIDTHS]
        return np.asarray(np.mean([rbf_kernel(a, b, gamma=gamma) for gamma in gammas], axis=0))

    def within(a: Array) -> float:
        n = len(a)
        return float((kernel(a, a).sum() - n) / (n * (n - 1)))

    def measure(samples: Array, others: Array) -> float:
        return within(samples) + within(others) - 2 * float(kernel(samples, others).mean())

    return measure


def frechet(samples: Array, reference: Array) -> float:
    """Fréchet distance (squared) of the Gaussians with the sets' means and covariances (Heusel et al. 2017)."""
    means = samples.mean(axis=0), reference.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(each.T)) for each in (samples, reference))
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return float(np.sum((means[0] - means[1]) ** 2) + np.trace(first) + np.trace(second) - 2 * cross)


def precision(samples: Array, reference: Array) -> Interval:
    """Share of the samples that lie where the reference does (Kynkäänniemi et al. 2019).

    That is, within the distance of some reference sample to its third neighbour. The interval is that of a share, for
    the reference as it is.
    """
    return share(int(np.sum(_covered(samples, reference))), len(samples))


def recall(samples: Array, reference: Array) -> Interval:
    """Share of the reference that lies where the samples do."""
    return share(int(np.sum(_covered(reference, samples))), len(reference))


def _covered(points: Array, by: Array) -> NDArray[np.bool_]:
    near = min(_NEIGHBOURS, len(by) - 1)
    radii = NearestNeighbors(n_neighbors=near).fit(by).kneighbors()[0][:, -1]
    return np.asarray((cdist(points, by) <= radii).any(axis=1))
