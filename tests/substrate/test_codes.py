"""Codes: exact messages, rounding, and what codes stand for."""

import numpy as np
import pytest

from equipoise.substrate.codes import decode_parameters, encode_minibatch, encode_parameters, encode_schedule
from equipoise.substrate.errors import CapabilityError, DataError, NetworkError, ParameterError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

NETWORK = Network((Module("x", 2, clamped=True), Module("y", 3)), (Coupling("x", "y", 1),), "y")


def test_parameters_round_to_half_a_step() -> None:
    parameters = Parameters.random(NETWORK, np.random.default_rng(0))
    held = decode_parameters(encode_parameters(NETWORK, parameters))
    assert np.max(np.abs(held.vector() - parameters.vector())) <= 2.0**-13


def test_a_weight_out_of_range_is_named() -> None:
    parameters = Parameters.zeros(NETWORK)
    parameters.U[0][1, 0] = 2.5
    with pytest.raises(
        ParameterError, match=r"^U of coupling 'x-y' must be within \+-1.99994 \(Q1.14\), not 2.5 at \(1, 0\)$"
    ):
        encode_parameters(NETWORK, parameters)


def test_a_stiffness_out_of_range_is_named() -> None:
    network = Network((Module("x", 2, clamped=True), Module("y", 3, stiffness=4.5)), (), "y")
    message = r"^Stiffness of module 'y' must be at most 3\.99988 on this device, not 4\.5$"
    with pytest.raises(NetworkError, match=message):
        encode_parameters(network, Parameters.zeros(network))


def test_schedule_codes_stand_for_what_was_asked() -> None:
    codes = encode_schedule(NETWORK, Schedule(beta=1 / 16, temperature=0.01))
    assert codes.effective_beta == 1 / 16
    assert codes.effective_temperature == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Schedule(beta=1e-6), "beta 1e-06 is too small for this device: it would round to 0"),
        (Schedule(beta=2.0, estimator=Estimator.ONE_SIDED), "beta 2 is too large for this device: lower it"),
        (Schedule(temperature=10.0), "temperature 10 is too large for this device: lower it or dt"),
        (Schedule(temperature=1e-12), "temperature 1e-12 is too small for this device: it would round to 0"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(schedule: Schedule, message: str) -> None:
    with pytest.raises(CapabilityError, match=f"^{message}$"):
        encode_schedule(NETWORK, schedule)


def test_a_sample_out_of_range_is_named() -> None:
    minibatch = Minibatch(np.array([[0.0, 0.0], [0.0, -4.5]]), np.zeros(2, np.int64), np.zeros((2, 3)))
    message = r"^A clamped state must be within \+-3.99988, not -4.5 \(sample 1, neuron 1\): scale the data$"
    with pytest.raises(DataError, match=message):
        encode_minibatch(NETWORK, minibatch, Schedule())
