"""Verification: whether a fit predicts what it did not see, and whether a board can be trusted with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fit import Fit, predict
from .measure import Measured
from .model import nominal
from .plan import Plan

__all__ = ["Verdict", "verify"]

Array = NDArray[np.float64]

WORST = 2.0
"""Steps of the readout (root mean square) to which each channel must be predicted."""

NOISES = 5.0
"""Instead, on a board with much noise, standard deviations of what was read."""

DRIFT = 4.0
"""Steps of the readout that a channel may drift during a calibration."""

SETTLED = 2.0
"""Steps (or standard deviations) that a settled state may typically move when the phase goes on."""

DETECTABLE = 0.5
"""Steps of the readout below which it does not matter which prediction is better."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How held-out vectors were predicted: root mean squares in steps, of all, and of each channel (N,)."""

    as_found: float
    as_left: float
    channels_found: Array
    channels_left: Array
    reason: str


def verify(plan: Plan, measured: Measured, fit: Fit) -> Verdict:
    """Compare predicted with read; ``reason`` says why the calibration must be rejected, empty if it need not."""
    lsb = plan.limits.lsb
    rows = np.array([vector.stage == "held-out" for vector in plan.vectors])
    valid = measured.valid[rows]
    found = (predict(plan, nominal(plan.limits)) - measured.volts)[rows] / lsb
    left = (predict(plan, fit.model) - measured.volts)[rows] / lsb

    def size(missed: Array) -> Array:
        return np.asarray(np.sqrt(np.mean(missed**2, axis=0, where=valid)))

    total_found, total_left = (float(np.sqrt(np.mean(missed[valid] ** 2))) for missed in (found, left))
    verdict = Verdict(total_found, total_left, size(found), size(left), "")
    return Verdict(total_found, total_left, size(found), size(left), _reason(plan, measured, fit, verdict))


def _reason(plan: Plan, measured: Measured, fit: Fit, verdict: Verdict) -> str:
    lsb = plan.limits.lsb
    limit = np.maximum(WORST, NOISES * fit.expected / lsb)
    drift = np.abs(drifted(plan, measured)) / lsb
    used = fit.residual.any(axis=1)
    left = np.sqrt(np.mean(fit.residual[used] ** 2, axis=0)) / lsb
    if np.any(measured.unsettled > SETTLED * np.maximum(lsb, fit.expected)):
        channel = int(np.argmax(measured.unsettled))
        return (
            f"channel {channel} still moves by {measured.unsettled[channel] / lsb:.1f} steps after the board says that "
            "it has settled: let phases take longer"
        )
    if np.any(drift > DRIFT):
        channel = int(np.argmax(drift))
        return f"channel {channel} drifted by {drift[channel]:.1f} steps during the calibration: let the board warm up"
    if np.any(verdict.channels_left > limit):
        channel = int(np.argmax(verdict.channels_left / limit))
        return (
            f"channel {channel} is predicted to {verdict.channels_left[channel]:.1f} steps only (allowed: "
            f"{limit[channel]:.1f}): it does something that the model does not have; check "
            "its multipliers and amplifiers"
        )
    if np.any(left > limit):
        channel = int(np.argmax(left / limit))
        return (
            f"channel {channel} is fitted to {left[channel]:.1f} steps only (allowed: {limit[channel]:.1f}): "
            "its readings disagree with each other; check its cable, and calibrate with more --averages"
        )
    if verdict.as_left > max(verdict.as_found, DETECTABLE):
        channel = int(np.argmax(verdict.channels_left - verdict.channels_found))
        return (
            f"held-out readings are predicted worse with it ({verdict.as_left:.2f} steps) than without "
            f"({verdict.as_found:.2f}), most of all channel {channel}: calibrate with more --averages"
        )
    return ""


def drifted(plan: Plan, measured: Measured) -> Array:
    """By how much (N,) a reference was read differently at the end, in volts."""
    volts = [vector.reference for vector in plan.vectors]
    last = len(volts) - 1
    first = next(at for at, value in enumerate(volts) if value == volts[last])
    return np.asarray(measured.volts[last] - measured.volts[first])
