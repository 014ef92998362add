"""Every study can fail: each fault of a device is caught by the studies that are there to catch it.

The devices are the float model with a fault, so that nothing but the fault is in the way. A sound one comes first.
"""

import pytest

from equipoise.host.studies import bias_bound
from equipoise.sim.float_model import FloatModel

from .conftest import verdicts
from .faulty import DeadZone, Faulty, Noisy, OneSided, SignError

BIAS_ORDER = ("one-sided on faulty:", "symmetric on faulty:")
STRONG = "strong coupling, symmetric"
DEVICE = "faulty: stays below the bound"


@pytest.fixture(scope="module")
def terms():
    """What has been worked out of each problem of ``bias-bound``: the same for all devices, which round nothing."""
    return {}


@pytest.fixture
def remember(monkeypatch, terms):
    """Works the terms of each problem out once for all tests."""
    work_out = bias_bound._terms

    def once(problem, start, beta, norm):
        key = (problem.minibatch.clamped.tobytes(), beta)
        if key not in terms:
            terms[key] = work_out(problem, start, beta, norm)
        return terms[key]

    monkeypatch.setattr(bias_bound, "_terms", once)


@pytest.mark.parametrize("name", ["unbiased", "bias-order", "bias-bound", "relaxation"])
def test_a_sound_device_holds(study, remember, name):
    found = study(name, Faulty(FloatModel()))
    assert set(verdicts(found).values()) == {"held"}
    assert found.figures
    assert "Held: " in found.text


@pytest.mark.parametrize(
    ("fault", "name", "broken"),
    [
        (SignError, "unbiased", {"direction on the device", "only a floor separates them"}),
        (SignError, "bias-order", set(BIAS_ORDER)),
        (SignError, "bias-bound", {DEVICE}),
        (SignError, "relaxation", {"weak coupling, one-sided", "weak coupling, symmetric", STRONG}),
        (DeadZone, "unbiased", {"only a floor separates them"}),
        (DeadZone, "bias-order", set(BIAS_ORDER)),
        (DeadZone, "bias-bound", {DEVICE}),
        (OneSided, "unbiased", {"only a floor separates them"}),
        (OneSided, "bias-order", {"symmetric on faulty:"}),
        (OneSided, "bias-bound", {DEVICE}),
        (OneSided, "relaxation", {STRONG}),
    ],
)
def test_a_fault_is_caught(study, remember, fault, name, broken):
    found = verdicts(study(name, fault(FloatModel())))
    assert broken <= {claim for claim, verdict in found.items() if verdict == "broken"}
    assert not any(verdict == "broken" for claim, verdict in found.items() if "float" in claim or "term" in claim)


def test_noise_leaves_a_study_without_enough_data(study):
    found = study("bias-order", Noisy(FloatModel()))
    assert {verdicts(found)[claim] for claim in BIAS_ORDER} == {"undecided"}
    assert found.verdict == "undecided"
    assert "Not enough data: one-sided on faulty:; symmetric on faulty:." in found.text


def test_a_bound_that_is_too_low_is_broken(study, remember, monkeypatch):
    once = bias_bound._terms

    def lowered(*arguments):
        found = once(*arguments)
        path = {name: value / 20 for name, value in found["bounds"]["path"].items()}
        return found | {"bounds": found["bounds"] | {"path": path}}

    monkeypatch.setattr(bias_bound, "_terms", lowered)
    assert verdicts(study("bias-bound", FloatModel()))["the bound is never broken"] == "broken"
