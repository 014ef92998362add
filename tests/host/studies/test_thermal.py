"""``thermal``: it holds on the golden model, and catches a temperature, a noise and a clock that are wrong."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from equipoise.host.studies.langevin import boltzmann_marginal, chain_marginal, linear_law
from equipoise.host.studies.study import Verdict
from equipoise.host.studies.thermal import STUDY
from equipoise.sim.golden import Golden
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch

from .altered import Altered, Hot, broken, run_study, verdicts


def test_holds_on_the_golden_model(tmp_path):
    findings = run_study(STUDY, Golden(), tmp_path)
    assert set(verdicts(findings).values()) == {Verdict.HELD}


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_temperature_off_by_20_percent_is_caught(tmp_path, factor):
    found = broken(run_study(STUDY, Hot(factor), tmp_path))
    assert {"temperature", "covariance", "temperature with quartic"} <= found


def test_chains_that_share_their_noise_are_caught(tmp_path):
    class Shared(Golden):
        def run(self, minibatch, schedule):
            alone = Minibatch(minibatch.clamped[:1], minibatch.levels[:1])
            result = super().run(alone, schedule)
            return replace(result, outputs=np.repeat(result.outputs, len(minibatch), axis=0))

    assert "chains are independent" in broken(run_study(STUDY, Shared(), tmp_path))


def test_a_device_that_counts_too_many_steps_forgets_too_fast(tmp_path):
    def alter(minibatch, schedule):
        more = max(schedule.free_steps - 200, 0)
        return minibatch, replace(schedule, free_steps=schedule.free_steps + more)

    assert broken(run_study(STUDY, Altered(alter), tmp_path)) == {"forgetting"}


def test_one_mode_has_the_variance_of_the_discretised_equation():
    network = Network((Module("output", 1, stiffness=1.5, quartic=0.0),), (), "output", dt=0.25)
    law = linear_law(network, Parameters.zeros(network), 0.1, 3)
    a, dt = 1.5, 0.25
    assert law.boltzmann[0, 0] == pytest.approx(0.1 / a)
    assert law.stationary[0, 0] == pytest.approx(2 * 0.1 / (a * (2 - a * dt)))
    assert law.covariance[0, 0] == pytest.approx(law.stationary[0, 0] * (1 - (1 - a * dt) ** 6))
    assert law.lagged(2)[0, 0] == pytest.approx(law.covariance[0, 0] * (1 - a * dt) ** 2)


def test_the_coupled_law_solves_its_equation():
    modules = (Module("a", 3, 1.0, 0.0), Module("b", 2, 2.0, 0.0))
    network = Network(modules, (Coupling("a", "b", 2),), "b")
    law = linear_law(network, Parameters.random(network, np.random.default_rng(1), 0.5), 0.2, 10)
    again = law.keep @ law.stationary @ law.keep.T + 2 * 0.2 * network.dt * np.eye(5)
    np.testing.assert_allclose(law.stationary, again, atol=1e-12)


def test_marginals():
    law = boltzmann_marginal(0.5, 2.0, 0.5)
    weight = lambda s: np.exp(-(0.25 * s**2 + 0.5 * s**4) / 0.5)  # noqa: E731
    whole = quad(weight, -9, 9)[0]
    assert law.second_moment == pytest.approx(quad(lambda s: s**2 * weight(s), -9, 9)[0] / whole, rel=1e-5)
    assert law.cdf(np.array([0.3]))[0] == pytest.approx(quad(weight, -9, 0.3)[0] / whole, abs=1e-6)
    chain = chain_marginal(0.5, 2.0, 0.5, 2.0**-5, 200)
    assert chain.second_moment == pytest.approx(law.second_moment, rel=2e-2)
    # Without quartic, the chain's law is known.
    assert chain_marginal(1.0, 0.0, 0.1, 0.125, 100).second_moment == pytest.approx(0.2 / (2 - 0.125), rel=1e-4)
