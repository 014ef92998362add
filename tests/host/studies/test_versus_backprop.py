"""``versus-backprop``: gradients against the oracle, and what the study catches."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.studies import backprop as torch_gradient
from equipoise.host.studies import versus_backprop
from equipoise.host.studies.gradients import random_minibatch
from equipoise.host.studies.study import Verdict
from equipoise.host.studies.versus_backprop import STUDY, Instructed
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.energy import oracle
from equipoise.substrate.errors import DeviceError, ToolError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

from .altered import broken, run_study, verdicts

NETWORK = Network(
    (Module("in", 3, clamped=True), Module("hidden", 4), Module("out", 3, quartic=0.0)),
    (Coupling("in", "hidden", 2), Coupling("out", "hidden", 2), Coupling("in", "out", 3)),
    "out",
    levels=3,
)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    parameters = Parameters.random(NETWORK, rng)
    parameters.bias[:, 3:] = rng.normal(0, 0.3, (3, 7))
    drawn = random_minibatch(NETWORK, rng, 5)
    return parameters, Minibatch(drawn.clamped, np.array([0, 2, 2, 0, 2]), drawn.target)


@pytest.fixture
def no_torch(monkeypatch):
    def load_torch():
        raise ToolError("PyTorch is not installed (no module): pip install 'equipoise[backprop]'")

    monkeypatch.setattr(versus_backprop, "load_torch", load_torch)
    monkeypatch.setattr(versus_backprop, "_REDUCED_STEPS", 40)


def test_backprop_of_a_settled_relaxation_is_the_oracle(problem):
    pytest.importorskip("torch")
    parameters, minibatch = problem
    found = torch_gradient.backprop(NETWORK, parameters, minibatch, 300)
    truth = oracle(NETWORK, parameters, minibatch)
    np.testing.assert_allclose(found.vector(), truth.vector(), atol=1e-7)


def test_backprop_of_few_steps_is_the_gradient_of_what_the_device_does(problem):
    pytest.importorskip("torch")
    parameters, minibatch = problem

    def cost(vector):
        model = FloatModel()
        model.configure(NETWORK)
        model.write(parameters.replace(vector))
        outputs = model.run(minibatch, Schedule(7, 1, estimator=Estimator.FREE)).outputs
        return np.sum((outputs - minibatch.target) ** 2) / 2 / len(minibatch)

    found = torch_gradient.backprop(NETWORK, parameters, minibatch, 7).vector()
    at = parameters.vector()
    for place in (0, 5, 11, 30, 50, len(at) - 1):
        step = 1e-5 * np.eye(len(at))[place]
        assert -(cost(at + step) - cost(at - step)) / 2e-5 == pytest.approx(found[place], abs=1e-7)


def test_the_oracle_of_an_instructed_device_is_the_oracle(problem):
    parameters, minibatch = problem
    with Instructed(FloatModel(), versus_backprop._by_oracle) as device:
        device.configure(NETWORK)
        with pytest.raises(DeviceError, match="no parameters"):
            device.run(minibatch, Schedule())
        device.write(parameters)
        found = device.run(minibatch, Schedule()).contrast
        truth = oracle(NETWORK, parameters, minibatch)
        assert cosine(found, truth) == pytest.approx(1, abs=1e-9)
        assert norm_ratio(found, truth) == pytest.approx(1, abs=1e-6)
        assert device.run(minibatch, Schedule(estimator=Estimator.FREE)).contrast is None


def test_holds_on_the_float_model_and_says_what_is_left_out(tmp_path, no_torch):
    findings = run_study(STUDY, FloatModel(), tmp_path)
    found = verdicts(findings)
    assert found["symmetric against oracle"] is Verdict.HELD
    assert found["symmetric against backprop"] is Verdict.UNDECIDED
    assert "pip install 'equipoise[backprop]'" in findings.claims[0].measured
    assert set(findings.numbers["errors"]) == {"symmetric", "one-sided", "oracle"}


def test_a_device_that_measures_only_biases_is_caught(tmp_path, no_torch):
    class Partial(FloatModel):
        def run(self, minibatch, schedule):
            result = super().run(minibatch, schedule)
            if result.contrast is None:
                return result
            none = result.contrast.map(np.zeros_like)
            return replace(result, contrast=replace(none, bias=result.contrast.bias))

    assert "symmetric against oracle" in broken(run_study(STUDY, Partial(), tmp_path))
