"""The vectorised noise generator against a scalar one, and its statistics."""

import numpy as np
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
