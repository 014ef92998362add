"""``operating-point``: the arithmetic of bias and variance, and what the study catches."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.operating_point import Errors, beta_grid
from equipoise.host.studies.operating_point import STUDY
from equipoise.host.studies.study import Verdict
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.substrate.network import Module, Network
from equipoise.substrate.phases import Estimator

from .altered import Altered, broken, run_study, verdicts

BETAS = 2.0 ** np.arange(-9, 0)


def made(bias, noise, count=60, size=5, samples=4):
    """Errors with a known bias (in one direction) and noise (in all), each a function of beta."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(count, size))
    errors = [bias(beta) * np.eye(size)[0] + noise(beta) / np.sqrt(size) * drawn for beta in BETAS]
    return Errors(BETAS, np.stack([each @ each.T for each in errors]), samples)


def test_bias_and_variance_are_told_apart():
    errors = made(lambda beta: 0.3, lambda beta: 0.1)
    np.testing.assert_allclose(errors.bias(), 0.09, rtol=0.1)
    np.testing.assert_allclose(errors.variance(4), 0.01, rtol=0.2)
    np.testing.assert_allclose(errors.variance(32), errors.variance(4) / 8)


def test_the_best_beta_is_where_theory_has_it():
    # bias a beta^2 and noise c / beta: the sum of squares is least at beta^6 = c^2 / (2 a^2)
    best = made(lambda beta: 2 * beta**2, lambda beta: 1e-3 / beta).best(4)
    theory = (1e-3 / 2) ** (1 / 3) / 2 ** (1 / 6)
    assert best.beta == pytest.approx(theory, rel=0.15)  # a parabola on a grid of octaves
    assert best.low <= best.beta <= best.high
    assert best.inside


def test_a_minimum_at_the_end_is_not_inside():
    assert not made(lambda beta: 0.0, lambda beta: 1 / beta).best(4).inside
    assert not made(lambda beta: beta, lambda beta: 1e-9).best(4).inside


def test_the_grid_ends_below_the_stiffness():
    network = Network((Module("output", 2, stiffness=0.5),), (), "output")
    np.testing.assert_array_equal(beta_grid(network, 1 / 16), [1 / 16, 1 / 8, 1 / 4])


def test_holds_on_the_golden_model(tmp_path):
    findings = run_study(STUDY, Golden(), tmp_path)
    assert set(verdicts(findings).values()) == {Verdict.HELD}
    assert findings.numbers["sources at beta 1/16"]["read-out noise"] < 1e-15  # but for rounding, equal


def test_one_sided_in_place_of_symmetric_is_caught(tmp_path):
    device = Altered(lambda minibatch, schedule: (minibatch, replace(schedule, estimator=Estimator.ONE_SIDED)))
    assert "more noise, larger beta" in broken(run_study(STUDY, device, tmp_path))


def test_a_sign_error_in_the_nudge_is_caught(tmp_path):
    class Reversed(FloatModel):
        def run(self, minibatch, schedule):
            result = super().run(minibatch, schedule)
            return replace(result, contrast=result.contrast.map(lambda leaf: -leaf))

    assert "good at its best" in broken(run_study(STUDY, Reversed(), tmp_path))


def test_noise_that_does_not_follow_the_temperature_is_caught(tmp_path):
    device = Altered(lambda minibatch, schedule: (minibatch, replace(schedule, temperature=1e-5)))
    assert "more noise, larger beta" in broken(run_study(STUDY, device, tmp_path))


def test_read_out_noise_is_found(tmp_path):
    class Noisy(FloatModel):
        def run(self, minibatch, schedule):
            result = super().run(minibatch, schedule)
            rng = np.random.default_rng(schedule.seed)
            return replace(
                result,
                contrast=result.contrast.map(lambda leaf: leaf + rng.normal(0, 1e-3, leaf.shape) / schedule.beta),
            )

    findings = run_study(STUDY, Noisy(), tmp_path)
    assert findings.numbers["sources at beta 1/16"]["read-out noise"] > 1e-4
    assert findings.numbers["best"]["T 0"]["beta"] > 0.08  # without it, 0.036 on the golden model
