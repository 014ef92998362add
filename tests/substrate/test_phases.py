"""Schedules, minibatches and what they refuse."""

import numpy as np
import pytest

from equipoise.substrate.errors import CapabilityError, DataError
from equipoise.substrate.network import Module, Network
from equipoise.substrate.phases import Estimator, Minibatch, Saturations, Schedule

from .examples import SMALL, minibatch_for


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"free_steps": 0}, "free_steps must be an integer from 1 to 65535, not 0"),
        ({"nudged_steps": 65536}, "nudged_steps must be an integer from 1 to 65535, not 65536"),
        ({"beta": 0.0}, "beta must be finite and above 0, not 0.0"),
        ({"beta": float("nan")}, "beta must be finite and above 0, not nan"),
        ({"temperature": -1.0}, "temperature must be finite and at least 0, not -1.0"),
        ({"temperature": float("inf")}, "temperature must be finite and at least 0, not inf"),
        ({"seed": 2**64}, f"seed must be an integer from 0 to 2**64 - 1, not {2**64}"),
        ({"seed": -1}, "seed must be an integer from 0 to 2**64 - 1, not -1"),
    ],
)
def test_schedules_refuse_values_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(CapabilityError) as error:
        Schedule(**values)
    assert str(error.value) == message


def test_an_estimator_may_be_given_by_name() -> None:
    assert Schedule(estimator="one-sided").estimator is Estimator.ONE_SIDED


def test_negative_nudging_needs_beta_below_the_softest_output() -> None:
    network = Network((Module("h", 2, 0.1), Module("y", 2, stiffness=(2.0, 0.5))), (), "y")
    Schedule(beta=0.49).check(network)
    for estimator in (Estimator.FREE, Estimator.ONE_SIDED):
        Schedule(beta=0.5, estimator=estimator).check(network)
    with pytest.raises(CapabilityError) as error:
        Schedule(beta=0.5).check(network)
    assert str(error.value) == (
        "beta 0.5 must be below the output module's stiffness 0.5, or -beta makes its neurons unstable: lower beta"
    )


DRAWN = minibatch_for(SMALL, np.random.default_rng(0), 4)
GOOD = Minibatch(DRAWN.clamped, np.array([0, 1, 1, 0]), DRAWN.target)
NAN = np.where(np.arange(12).reshape(4, 3) == 7, np.nan, 0.0)


@pytest.mark.parametrize(
    ("minibatch", "message"),
    [
        (
            Minibatch(np.zeros((0, 5)), np.zeros(0, dtype=np.int64)),
            "A minibatch must have at least 1 sample, not 0",
        ),
        (
            Minibatch(GOOD.clamped[:, :4], GOOD.levels, GOOD.target),
            "Array 'clamped' of a minibatch must have shape (4, 5), not (4, 4)",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels, GOOD.target[:3]),
            "Array 'target' of a minibatch must have shape (4, 3), not (3, 3)",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels, NAN),
            "Array 'target' of a minibatch must be finite, not nan at (2, 1)",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels),
            "A minibatch for the symmetric estimator needs a target, not None",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels.astype(float), GOOD.target),
            "Levels of a minibatch must be integers, not float64",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels + 1, GOOD.target),
            "Levels of a minibatch must be from 0 to 1, not 2",
        ),
        (
            Minibatch(GOOD.clamped, GOOD.levels - 1, GOOD.target),
            "Levels of a minibatch must be from 0 to 1, not -1",
        ),
    ],
)
def test_minibatches_are_checked(minibatch: Minibatch, message: str) -> None:
    with pytest.raises(DataError) as error:
        minibatch.check(SMALL, Schedule())
    assert str(error.value) == message


def test_good_minibatches_pass() -> None:
    GOOD.check(SMALL, Schedule())
    Minibatch(GOOD.clamped, GOOD.levels).check(SMALL, Schedule(estimator=Estimator.FREE))
    assert len(GOOD) == 4


def test_saturations_are_true_when_there_were_any() -> None:
    assert not Saturations()
    assert Saturations(state=1)
    assert Saturations(bus=1)
    assert Saturations(force=1)
