"""The devices of the ablation: trained curvature follows the cost's slope, and annealing changes no equilibrium."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.benchmarks.curvature import Annealed, Curved, curvature_contrast
from equipoise.host.config import TrainConfig
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

SETTLING = Schedule(400, 400, beta=1e-3)


def network(stiffness=(1.0,) * 6, quartic=(0.3,) * 6) -> Network:
    modules = (
        Module("input", 3, clamped=True),
        Module("hidden", 6, tuple(stiffness), tuple(quartic)),
        Module("output", 2, quartic=0.0),
    )
    couplings = (Coupling("input", "hidden", 3), Coupling("hidden", "output", 2))
    return Network(modules, couplings, "output", dt=0.125)


@pytest.fixture
def parameters() -> Parameters:
    rng = np.random.default_rng(5)
    made = Parameters.zeros(network()).map(lambda leaf: 0.4 * rng.normal(size=leaf.shape) + 0.2)
    made.bias[:, network().clamped] = 0.0
    return made


@pytest.fixture
def minibatch() -> Minibatch:
    rng = np.random.default_rng(6)
    return Minibatch(rng.normal(size=(5, 3)), np.zeros(5, np.int64), rng.normal(size=(5, 2)))


def config(**changed: object) -> TrainConfig:
    return replace(TrainConfig("test", "digits", network(), learning_rate=0.02, warm_up=0, average=0.9), **changed)


def cost(parameters: Parameters, minibatch: Minibatch, bent: Network) -> float:
    model = FloatModel()
    model.configure(bent)
    model.write(parameters)
    outputs = model.run(minibatch, replace(SETTLING, estimator=Estimator.FREE)).outputs
    return 0.5 * float(np.mean(np.sum((outputs - minibatch.target) ** 2, axis=1)))


@pytest.mark.parametrize("term", ["stiffness", "quartic"])
def test_contrast_of_curvature_is_the_slope_of_the_cost(term, parameters, minibatch, monkeypatch):
    seen = {}

    def spy(name, plus, minus, beta):
        seen[name] = curvature_contrast(name, plus, minus, beta)
        return seen[name]

    monkeypatch.setattr("equipoise.benchmarks.curvature.curvature_contrast", spy)
    device = Curved(config(), {term: (0.0, 9.0)})
    device.configure(network())
    device.write(parameters)
    device.run(minibatch, SETTLING)
    begin = {"stiffness": 1.0, "quartic": 0.3}[term]
    for neuron in range(6):
        costs = []
        for change in (1e-4, -1e-4):
            values = [begin + change * (n == neuron) for n in range(6)]
            costs.append(cost(parameters, minibatch, network(**{term: values})))
        assert seen[term][neuron] == pytest.approx(-(costs[0] - costs[1]) / 2e-4, rel=1e-3, abs=1e-7)


def test_a_curved_device_of_no_rate_is_the_float_model(parameters, minibatch):
    plain, curved = FloatModel(), Curved(config(), {"stiffness": (0.0, 9.0)}, factor=0.0)
    for schedule in (Schedule(), Schedule(estimator=Estimator.FREE)):
        results = []
        for device in (plain, curved):
            device.configure(network())
            device.write(parameters)
            results.append(device.run(minibatch, schedule))
        np.testing.assert_array_equal(results[0].outputs, results[1].outputs)
        if schedule.estimator is Estimator.SYMMETRIC:
            for one, other in zip(results[0].contrast.leaves(), results[1].contrast.leaves(), strict=True):
                np.testing.assert_array_equal(one, other)


def test_training_curvature_alone_lowers_the_cost_and_keeps_to_its_bounds(parameters, minibatch):
    device = Curved(config(steps=200), {"stiffness": (0.5, 1.6)})
    device.configure(network())
    device.write(parameters)
    before = cost(parameters, minibatch, network())
    for _ in range(200):
        device.run(minibatch, Schedule(200, 100, beta=0.05))
    assert device.now["stiffness"].min() >= 0.5
    assert device.now["stiffness"].max() <= 1.6
    assert cost(parameters, minibatch, network(device.average["stiffness"].tolist())) < 0.98 * before


def test_annealing_changes_no_equilibrium_but_what_is_not_settled(parameters, minibatch):
    plain, annealed = FloatModel(), Annealed([(0.5, 0.1, 5), (0.25, 0.0, 5)])
    differences = []
    for free_steps in (1, 400):
        outputs = []
        for device in (plain, annealed):
            device.configure(network())
            device.write(parameters)
            outputs.append(device.run(minibatch, Schedule(free_steps)).outputs)
        differences.append(np.abs(outputs[0] - outputs[1]).max())
    assert differences[0] > 1e-2
    assert differences[1] < 1e-9
