"""Distances against known answers: two Gaussians, one set twice, and samples that have collapsed."""

import numpy as np
import pytest

from equipoise.host.quality.distances import (
    distance,
    frechet,
    maximum_mean_discrepancy,
    precision,
    recall,
    sliced_wasserstein,
)

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(size=(400, 3)), RNG.normal(size=(400, 3))


def measures(reference):
    return {"wasserstein": sliced_wasserstein, "mmd": maximum_mean_discrepancy(reference), "frechet": frechet}


@pytest.mark.parametrize("name", ["wasserstein", "mmd", "frechet"])
def test_one_set_twice_is_not_apart(name):
    assert measures(FIRST)[name](FIRST, FIRST) == pytest.approx(0, abs=0.01)


def test_sliced_wasserstein_of_a_shift():
    """What is shifted by m is shifted by u . m on direction u; the mean of its square is |m|^2 / d."""
    shift = np.array([3.0, 0.0, 4.0])
    assert sliced_wasserstein(FIRST + shift, FIRST) == pytest.approx(5 / np.sqrt(3), rel=0.1)


def test_sliced_wasserstein_of_unequal_numbers():
    assert sliced_wasserstein(np.repeat(FIRST, 3, axis=0), FIRST) == pytest.approx(0, abs=1e-9)


def test_sliced_wasserstein_of_two_widths():
    """Two centred normal distributions in one dimension are as far apart as their deviations."""
    rng = np.random.default_rng(1)
    found = sliced_wasserstein(3 * rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)))
    assert found == pytest.approx(2, rel=0.05)


def test_frechet_is_exact_for_gaussians():
    """|m1 - m2|^2 and the squared differences of the deviations, where covariances commute."""
    scale, shift = np.array([2.0, 1.0, 0.5]), np.array([1.0, 0.0, -2.0])
    white = (FIRST - FIRST.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(FIRST.T))).T
    assert frechet(white * scale + shift, white) == pytest.approx(np.sum(shift**2) + np.sum((scale - 1) ** 2))


def test_the_discrepancy_of_gaussians_is_the_closed_form():
    """E k(x, y) for normal x, y of variance v and a kernel of width h is (h^2 / (h^2 + 2 v))^(d/2), times a decay."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(3000, 1)), rng.normal(size=(3000, 1)) + 1.5
    width = np.median(np.abs(b - b.T)[np.triu_indices(3000, 1)])
    expected = 0.0
    for factor in (0.5, 1.0, 2.0):
        h2 = (factor * width) ** 2
        expected += 2 * np.sqrt(h2 / (h2 + 2)) * (1 - np.exp(-(1.5**2) / (2 * (h2 + 2)))) / 3
    assert maximum_mean_discrepancy(b)(a, b) == pytest.approx(expected, rel=0.1)


def test_the_discrepancy_is_unbiased():
    rng = np.random.default_rng(3)
    found = [maximum_mean_discrepancy(FIRST)(*rng.normal(size=(2, 40, 3))) for _ in range(200)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)


def test_the_interval_covers_as_often_as_it_says():
    """Of many pairs of sets, the interval holds the true distance in about 95 % (here of one mean from another)."""
    rng = np.random.default_rng(4)

    def shift(a, b):
        return a.mean() - b.mean()

    held = 0
    for number in range(200):
        found = distance(shift, rng.normal(size=(60, 1)) + 1, rng.normal(size=(50, 1)), seed=number)
        held += found.low <= 1 <= found.high
    assert 178 <= held <= 199


def test_few_samples_have_no_interval():
    found = distance(sliced_wasserstein, FIRST[:5], SECOND)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_precision_and_recall_of_one_distribution():
    assert precision(FIRST, SECOND).value > 0.85 and recall(FIRST, SECOND).value > 0.85
    assert precision(FIRST, FIRST).value == recall(FIRST, FIRST).value == 1


def test_collapsed_samples_are_precise_and_recall_little():
    collapsed = SECOND[:1] + 1e-3 * RNG.normal(size=(400, 3))
    assert precision(collapsed, SECOND).value > 0.95
    assert recall(collapsed, SECOND).value < 0.05


def test_scattered_samples_are_not_precise():
    scattered = 20 * RNG.normal(size=(400, 3))
    assert precision(scattered, SECOND).value < 0.05
    assert recall(scattered, SECOND).value > 0.9
