"""The model of a board: its derivatives, its equilibria, the inverse of its readout."""

from dataclasses import fields, replace

import numpy as np
import pytest

from equipoise.calibration.model import NETWORK_TERMS, Model, jacobian, nominal
from equipoise.calibration.plan import make_plan
from equipoise.sim.virtual_board import VirtualBoard

LIMITS = VirtualBoard(neurons=5, channels=3).limits
PLAN = make_plan(LIMITS)


@pytest.fixture
def model():
    rng = np.random.default_rng(3)
    base = nominal(LIMITS)
    return Model(*(0.02 * rng.standard_normal(getattr(base, item.name).shape) for item in fields(Model)))


@pytest.mark.parametrize("stage", ["biases", "couplings", "nudges"])
def test_derivatives_are_those_of_finite_differences(model, stage):
    vector = next(v for v in PLAN.vectors if v.stage == stage)
    wiring, states = PLAN.wirings[vector.wiring], np.random.default_rng(1).uniform(-1, 1, 5)
    by = jacobian(model, LIMITS, wiring, vector.drive, states)
    for name in NETWORK_TERMS:
        value = getattr(model, name)
        for index in range(value.size):
            step = np.zeros(value.size)
            step[index] = 1e-6
            up, down = (
                replace(model, **{name: value + sign * step.reshape(value.shape)}).force(
                    LIMITS, wiring, vector.drive, states
                )
                for sign in (1, -1)
            )
            assert by[name][:, index] == pytest.approx((up - down) / 2e-6, abs=1e-8), name


def test_slope_is_that_of_finite_differences(model):
    vector = next(v for v in PLAN.vectors if v.stage == "couplings")
    wiring, states = PLAN.wirings[vector.wiring], np.linspace(-1, 1, 5)
    slope = model.slope(LIMITS, wiring, vector.drive, states)
    for j, step in enumerate(1e-6 * np.eye(5)):
        up, down = (model.force(LIMITS, wiring, vector.drive, states + s * step) for s in (1, -1))
        assert slope[:, j] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_readout_is_inverted(model):
    volts = np.linspace(-3.5, 3.5, 20).reshape(4, 5)
    assert model.true(LIMITS, model.seen(LIMITS, volts)) == pytest.approx(volts, abs=1e-9)


def test_perfect_board_reads_what_the_nominal_model_predicts():
    board = VirtualBoard(neurons=5, channels=3)
    for vector in PLAN.vectors:
        if vector.stage == "held-out":
            board.wire(PLAN.wirings[vector.wiring])
            told = PLAN.wirings[vector.wiring]
            assert nominal(LIMITS).equilibrium(LIMITS, told, vector.drive) == pytest.approx(
                board.exact(vector.drive), abs=1e-8
            )
