"""Initial states: a run that goes on where another ended is one longer run."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import DataError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

NETWORK = Network(
    (Module("a", 4, clamped=True), Module("b", 6), Module("c", 3)), (Coupling("a", "b", 3), Coupling("b", "c", 3)), "c"
)
RNG = np.random.default_rng(0)
GIVEN = Minibatch(RNG.normal(size=(5, 4)), np.zeros(5, np.int64), RNG.normal(size=(5, 3)))


@pytest.fixture(params=[FloatModel, Golden])
def device(request):
    model = request.param()
    model.configure(NETWORK)
    model.write(Parameters.random(NETWORK, np.random.default_rng(1)))
    assert model.identity.warm_start
    return model


@pytest.mark.parametrize("estimator", [Estimator.FREE, Estimator.SYMMETRIC])
def test_a_run_goes_on_where_another_ended(device, estimator):
    whole = device.run(GIVEN, Schedule(30, 5, estimator=estimator))
    states = device.states()
    device.run(GIVEN, Schedule(20, 1, estimator=Estimator.FREE))
    rest = device.run(replace(GIVEN, initial=device.states()["free"]), Schedule(10, 5, estimator=estimator))
    assert np.array_equal(rest.outputs, whole.outputs) and rest.residual == whole.residual
    assert all(np.array_equal(each, states[name]) for name, each in device.states().items())


def test_initial_states_of_clamped_neurons_are_not_used(device):
    schedule = Schedule(9, 1, estimator=Estimator.FREE)
    initial = RNG.normal(size=(5, 13))
    first = device.run(replace(GIVEN, initial=initial), schedule).outputs
    other = np.where(NETWORK.clamped, 1.0, initial)
    assert np.array_equal(device.run(replace(GIVEN, initial=other), schedule).outputs, first)


def test_initial_states_are_checked(device):
    with pytest.raises(DataError, match=r"Array 'initial' of a minibatch must have shape \(5, 13\), not \(5, 3\)"):
        device.run(replace(GIVEN, initial=np.zeros((5, 3))), Schedule())


def test_the_golden_model_has_a_rail():
    model = Golden()
    model.configure(NETWORK)
    model.write(Parameters.random(NETWORK, np.random.default_rng(1)))
    initial = np.zeros((5, 13))
    initial[3, 6] = 3.99999
    with pytest.raises(DataError, match=r"An initial state of sample 3 must be within \+-3.99988: clip it"):
        model.run(replace(GIVEN, initial=initial), Schedule())
