"""EDM preconditioning, against the equations of Karras et al. (2022)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.host.data import SIGMA_DATA
from equipoise.host.edm import Edm
from equipoise.substrate.formats import FORMATS

EDM = Edm(levels=9, sigma_min=0.05, sigma_max=10.0)
SIGMAS = st.floats(0.01, 50)


@given(SIGMAS)
def test_inputs_and_targets_have_variance_one(sigma):
    """Their equations 114 to 117: for independent x of variance sigma_data^2 and noise of variance sigma^2."""
    s = np.array([sigma])
    assert EDM.c_in(s) ** 2 * (sigma**2 + SIGMA_DATA**2) == pytest.approx(1)
    left = (1 - EDM.c_skip(s)) ** 2 * SIGMA_DATA**2 + EDM.c_skip(s) ** 2 * sigma**2
    assert left / EDM.c_out(s) ** 2 == pytest.approx(1)


def test_levels_are_next_in_the_logarithm():
    sigmas = EDM.sigmas()
    assert (sigmas[0], sigmas[-1]) == pytest.approx((0.05, 10.0))
    assert np.ptp(np.diff(np.log(sigmas))) < 1e-12
    assert EDM.level(sigmas).tolist() == list(range(9))
    between = np.sqrt(sigmas[1:] * sigmas[:-1])
    assert EDM.level(between * 0.999).tolist() == list(range(8))
    assert EDM.level(between * 1.001).tolist() == list(range(1, 9))
    assert EDM.level(np.array([1e-3, 1e3])).tolist() == [0, 8]
    assert Edm(levels=1).level(np.array([0.1, 5.0])).tolist() == [0, 0]


def test_training_noise_is_log_normal_within_the_levels():
    drawn = EDM.draw(np.random.default_rng(0), 20000)
    assert drawn.min() >= 0.05 and drawn.max() <= 10.0
    assert np.median(np.log(drawn)) == pytest.approx(EDM.mean, abs=4 * 1.2533 * EDM.deviation / np.sqrt(20000))


def test_a_network_that_hits_its_target_denoises():
    rng = np.random.default_rng(0)
    clean, sigma = 0.5 * rng.normal(size=(40, 3)), EDM.draw(rng, 40)
    noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
    minibatch, clipped = EDM.minibatch(noisy, sigma, clean)
    assert clipped == 0
    assert np.allclose(EDM.denoised(minibatch.target, noisy, sigma), clean)
    assert np.array_equal(minibatch.levels, EDM.level(sigma))


def test_what_a_state_cannot_hold_is_clipped_and_counted():
    limit = FORMATS.state.limit
    minibatch, clipped = EDM.minibatch(np.array([[100.0, 0.0]]), np.array([1.0]), np.array([[0.0, 0.0]]))
    assert clipped == 2
    assert (minibatch.clamped[0, 0], minibatch.target[0, 0]) == (limit, -limit)
    assert EDM.minibatch(np.zeros((1, 2)), np.ones(1))[0].target is None
