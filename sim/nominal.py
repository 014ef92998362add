"""What both simulated analog boards are on paper: the virtual board, and the circuit in ngspice."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from ..drivers.analog.board import Limits
from ..substrate.errors import CapabilityError

__all__ = ["CALIBRATED_AT", "OFFSET_SHARE", "READ_NOISE", "VOLTS", "nominal_limits", "sensed", "warmed"]

VOLTS = 4.0
"""Range of states, targets and clamped values, either side of 0 (V)."""

_BITS = 14
"""Of the readout's converter, over that range."""

_TIME_CONSTANT = 10e-6
"""Of a neuron: 10 kilohm and 1 nF (s)."""

_REFERENCES = (-3.0, -1.5, 0.0, 1.5, 3.0)
"""Voltages that the readout can be switched to (V)."""

_REFERENCE_UNCERTAINTY = 20e-6
"""Of each: that of a reference of 5 ppm or so (V)."""

OFFSET_SHARE = 0.1
"""Standard deviation of an offset in volts, for a mismatch of 1: a mismatch of 3 % comes with offsets of 3 mV."""

READ_NOISE = 0.3e-3
"""Of one reading, one standard deviation (V): most of a step, so that an average resolves less than one."""


CALIBRATED_AT = 25.0
"""Temperature at which parts have the values that are drawn for them (degrees Celsius)."""

_WARMTH_SHARE = 1 / 60
"""Standard deviation of what a kelvin does to a part, in its mismatch: at 3 %, 500 ppm, and 50 uV of an offset."""

_STEADY = ("read_bow", "before", "after", "target_gain", "clamp_gain")
"""Parts that are the same at all temperatures: ratios of equal parts."""

_P = TypeVar("_P")


def warmed(parts: _P, mismatch: float, seed: int, temperature: float) -> _P:
    """``parts`` (a dataclass of arrays, those with an ``offset`` in their name in volts) at another temperature.

    What a kelvin does to each is drawn from ``seed``, and is told to nobody.
    """
    rng, moved = np.random.default_rng([seed, 7]), {}
    kelvin = temperature - CALIBRATED_AT
    for part in fields(parts):  # type: ignore[arg-type]
        value = getattr(parts, part.name)
        by = kelvin * _WARMTH_SHARE * mismatch * np.clip(rng.standard_normal(value.shape), -3, 3)
        if part.name not in _STEADY:
            moved[part.name] = value + OFFSET_SHARE * by if part.name.endswith("offset") else value * (1 + by)
    warm: Any = replace(parts, **moved)  # type: ignore[type-var]
    return warm  # type: ignore[no-any-return]


def sensed(temperature: float) -> float:
    """What a sensor that tells tenths of a degree makes of ``temperature``."""
    return round(temperature, 1)


def nominal_limits(neurons: int, channels: int, largest: int) -> Limits:
    """What a board of that size can be told.

    Raises
    ------
    CapabilityError
        If a size is outside 1 to ``largest``.
    """
    for name, value in (("neurons", neurons), ("channels", channels)):
        if not 1 <= value <= largest:
            raise CapabilityError(f"A simulated analog board must have from 1 to {largest} {name}, not {value}")
    return Limits(
        neurons=neurons,
        channels=channels,
        weight=4.0,
        gain=4.0,
        bias=VOLTS,
        nudge=0.5,
        volts=VOLTS,
        stiffness=1.0,
        quartic=1.0,
        lsb=2 * VOLTS / 2**_BITS,
        time_constant=_TIME_CONSTANT,
        references=_REFERENCES,
        reference_uncertainty=_REFERENCE_UNCERTAINTY,
    )
