"""The vectorised noise generator against a scalar one, and its statistics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from equipoise.sim.noise import NoiseStream
from equipoise.substrate.codes import NOISE_VARIANCE

from .reference import Noise


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    samples=st.lists(st.integers(0, 255), min_size=1, max_size=3),
    phase=st.integers(0, 2),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=3),
)
def test_equals_the_scalar_generator(seed: int, samples: list[int], phase: int, counts: list[int]) -> None:
    stream = NoiseStream(seed, np.array(samples), phase)
    taken = np.concatenate([stream.take(count) for count in counts], axis=1)
    for row, sample in enumerate(samples):
        scalar = Noise(seed, sample, phase)
        assert taken[row].tolist() == [scalar.take() for _ in range(sum(counts))]


@pytest.mark.parametrize(("other_sample", "other_phase"), [(1, 0), (128, 0), (0, 2)])
def test_no_two_streams_are_related_by_a_pattern_that_no_seed_changes(other_sample: int, other_phase: int) -> None:
    """Draw by draw over many seeds: a linear generator started a few bits apart shows a correlation of 0.1 rms."""
    seeds, draws = 2000, 40
    pairs = np.empty((2, seeds, draws))
    for number, seed in enumerate(np.random.default_rng(0).integers(0, 2**63, seeds)):
        pairs[0, number] = NoiseStream(int(seed), np.array([0]), 0).take(draws)
        pairs[1, number] = NoiseStream(int(seed), np.array([other_sample]), other_phase).take(draws)
    correlations = (pairs[0] * pairs[1]).mean(axis=0) / NOISE_VARIANCE * np.sqrt(seeds)
    # Sums of squares of normal numbers, were there none: 1 in 10,000 for all three pairs together.
    assert np.sum(correlations**2) < stats.chi2.ppf(1 - 1e-4 / 3, draws)


def test_mean_variance_and_independence_of_streams() -> None:
    samples, count = 64, 4096
    noise = NoiseStream(1, np.arange(samples), 0).take(count)
    other_phase = NoiseStream(1, np.arange(samples), 1).take(count)
    total = noise.size
    # 4-sigma bounds: one false alarm in 16,000 seeds, and the seed is fixed.
    assert abs(noise.mean()) < 4 * np.sqrt(NOISE_VARIANCE / total)
    low, high = stats.chi2.ppf([3e-5, 1 - 3e-5], total - 1) / (total - 1)
    assert low < noise.var(ddof=1) / NOISE_VARIANCE < high
    for other in (np.roll(noise, 1, axis=0), np.roll(noise, 1, axis=1), other_phase):
        correlation = np.mean(noise * other) / NOISE_VARIANCE
        assert abs(correlation) < 4 / np.sqrt(total)
