"""Circuits and acquisitions: within the firmware's limits, or refused in one line; always whole."""

import json

import pytest

from equipoise.drivers.lucidac.circuit import CONSTANT, RATES, Circuit, Lane, multiplier, multiplier_inputs
from equipoise.drivers.lucidac.machine import Acquisition
from equipoise.substrate.errors import CapabilityError

ZERO = (0.0,) * 8


def refusal(make) -> str:
    with pytest.raises(CapabilityError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        ([Lane(0, 1.0, 0)] * 33, "A LUCIDAC has 32 lanes, not 33: use a smaller network"),
        ([Lane(0, 1.0, 0), Lane(0, 10.5, 0)], "Coefficient of lane 1 of a LUCIDAC must be within +-10, not 10.5"),
        ([Lane(0, float("nan"), 0)], "Coefficient of lane 0 of a LUCIDAC must be within +-10, not nan"),
        ([Lane(12, 1.0, 0)], "Lane 0 of a LUCIDAC cannot lead from 12 to 0"),  # an identity lane
        ([Lane(0, 1.0, 16)], "Lane 0 of a LUCIDAC cannot lead from 0 to 16"),
    ],
)
def test_lanes_that_are_not_there(lanes, message):
    assert refusal(lambda: Circuit(tuple(lanes), ZERO, 8)) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"initial": (0.0, 1.01, *ZERO[2:])},
            "Initial condition of integrator 1 of a LUCIDAC must be within +-1, not 1.01",
        ),
        ({"initial": (0.0,)}, "A LUCIDAC takes 8 initial conditions, not 1"),
        ({"k0": (10_000,) * 7 + (1000,)}, "k0 of integrator 7 of a LUCIDAC must be 100 or 10000, not 1000"),
        ({"k0": ()}, "A LUCIDAC takes 8 rates k0, not 0"),
        ({"channels": 3}, "ADC channels of a LUCIDAC must be one of (0, 1, 2, 4, 8), not 3"),
    ],
)
def test_settings_that_are_not_there(settings, message):
    assert refusal(lambda: Circuit(**{"lanes": (), "initial": ZERO, "channels": 8, **settings})) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"nanoseconds": 10**9},
            "A phase on a LUCIDAC must take less than 1 s, not 1 s: lower the steps or dt",
        ),
        ({"channels": 5}, "ADC channels of a LUCIDAC must be one of (0, 1, 2, 4, 8), not 5"),
        (
            {"rate": 25},
            "Sample rate of a LUCIDAC must be one of " + ", ".join(str(r) for r in RATES if r >= 32) + ", not 25",
        ),
        (
            {"rate": 500_000},
            "A LUCIDAC takes 1000000 samples a second of all channels together, not 4000000",
        ),
    ],
)
def test_acquisitions_that_the_adc_does_not_make(settings, message):
    assert refusal(lambda: Acquisition(**{"nanoseconds": 1000, "rate": 32, "channels": 8, **settings})) == message


def test_rates_are_chosen_to_see_enough():
    assert Acquisition.of(1e-3, 2) == Acquisition(1_000_000, 100_000, 2)
    assert Acquisition.of(3e-4, 8) == Acquisition(300_000, 125_000, 8)  # as fast as eight channels go
    assert Acquisition.of(0.9, 8).rate == 80
    assert refusal(lambda: Acquisition.of(1e-5, 8)) == (
        "A phase of 10 us is too short for 8 samples of 8 channels, 64 us: raise the steps or dt"
    )


def test_a_configuration_is_whole_whatever_is_used():
    lanes = (*[Lane(0, 0.5, 1)] * 15, Lane(CONSTANT, -3.0, 2), Lane(CONSTANT, 1.0, multiplier_inputs(1)[0]))
    config = Circuit((*lanes, Lane(multiplier(1), -10.0, 0)), (0.25, *ZERO[1:]), 2).config()
    cluster = config["/0"]
    assert [element["k"] for element in cluster["/M0"]["elements"]] == [10_000] * 8
    assert [element["ic"] for element in cluster["/M0"]["elements"]] == [0.25, *ZERO[1:]]
    assert cluster["/U"]["outputs"] == [*[0] * 15, 15, 14, 9, *[None] * 14]
    assert cluster["/C"]["elements"] == [*[0.5] * 15, -0.3, 1.0, -1.0, *[0.0] * 14]
    assert cluster["/I"]["upscaling"] == [lane in (15, 17) for lane in range(32)]
    assert cluster["/I"]["outputs"] == [[17], list(range(15)), [15], *[[]] * 7, [16], *[[]] * 5]
    assert config["adc_channels"] == [0, 1, *[None] * 6]
    assert "/M1" not in cluster  # it takes no configuration
    assert json.loads(json.dumps(config)) == config
