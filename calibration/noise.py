"""Time constants, settling time and noise, from records in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.signal import welch

from ..drivers.analog.board import Limits, Trace
from .measure import STEP
from .model import Model

__all__ = ["Dynamics", "Noise", "dynamics", "noise"]

Array = NDArray[np.float64]

SETTLED = 14
"""Bits to which a step must settle."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Time constants (N,) of neurons of stiffness 1 in seconds, and the time until a step is settled (s)."""

    time_constant: Array
    settling: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of each channel.

    Attributes
    ----------
    white
        Standard deviation (N,) of one reading (V).
    slow
        Of what averaging does not remove (N,), up to the length of the record (V).
    knee
        Frequency (N,) at which slow noise is as strong as white (Hz); 0 where there is none.
    frequencies, density
        Spectrum: (F,) in Hz, and (F, N) in V^2/Hz.
    """

    white: Array
    slow: Array
    knee: Array
    frequencies: Array
    density: Array


def dynamics(limits: Limits, model: Model, trace: Trace) -> Dynamics:
    """Fit a time constant to each neuron's response to a step of its bias from 0 V."""
    volts = model.true(limits, trace.volts)
    bias = min(STEP, limits.bias) * np.exp(model.bias_gain) + model.bias_offset
    stiffness, quartic = limits.stiffness * np.exp(model.stiffness), limits.quartic * np.exp(model.quartic)
    found = np.empty(limits.neurons)
    times = trace.times / limits.time_constant
    fine = np.linspace(0, times[-1] * 3, 1000)
    # Courses in units of each neuron's own time constant, which stretches them; by Heun's rule.
    courses, step = np.zeros((len(fine), limits.neurons)), fine[1]

    def force(states: Array) -> Array:
        return np.asarray(bias - stiffness * states - quartic * states**3)

    for at in range(1, len(fine)):
        first = force(courses[at - 1])
        courses[at] = courses[at - 1] + step / 2 * (first + force(courses[at - 1] + step * first))
    for i in range(limits.neurons):

        def miss(x: Array, i: int = i) -> Array:
            return np.asarray(np.interp(times / x[0], fine, courses[:, i]) - volts[:, i])

        found[i] = least_squares(miss, [1.0], bounds=(0.35, 10.0)).x[0]
    # Near the end of a step the slope is stiffness + 3 quartic s^2; at rest, the slowest, it is the stiffness alone.
    settling = float((found / stiffness).max() * limits.time_constant * SETTLED * np.log(2))
    return Dynamics(found * limits.time_constant, settling)


def noise(limits: Limits, model: Model, trace: Trace) -> Noise:
    """Spectrum of a record at rest: white noise from its upper half, the rest of the variance is slow."""
    interval = float(trace.times[1] - trace.times[0])
    volts = model.true(limits, trace.volts)
    frequencies, density = welch(volts, 1 / interval, nperseg=len(volts) // 4, axis=0)
    half = len(frequencies) // 2
    level = density[half:].mean(axis=0)
    white = np.sqrt(level / (2 * interval))
    blocks = volts[: len(volts) // 64 * 64].reshape(-1, 64, limits.neurons).mean(axis=1)
    slow = np.sqrt(np.maximum(blocks.var(axis=0) - white**2 / 64, 0.0))
    excess = density[1:half] - level
    knee = np.empty(limits.neurons)
    for i in range(limits.neurons):
        # Of 1/f noise c/f the frequency at which it is as strong as white noise is c / level.
        rate = np.median(excess[: max(half // 16, 4), i] * frequencies[1 : 1 + max(half // 16, 4)]) / level[i]
        knee[i] = max(float(rate), 0.0)
    return Noise(white, slow, knee, frequencies[1:], density[1:])
