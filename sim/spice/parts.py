"""The parts of the reference board: what each is meant to be, and what it came out as in one board of many."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ...drivers.analog.board import Limits
from ..nominal import CALIBRATED_AT, OFFSET_SHARE, READ_NOISE, nominal_limits, warmed

__all__ = ["NEURONS_LIMIT", "Adc", "Parts", "board_limits"]

Array = NDArray[np.float64]

NEURONS_LIMIT = 64
"""Most neurons and most rank channels of a circuit: beyond, ngspice takes seconds for a phase."""


def board_limits(neurons: int, channels: int) -> Limits:
    """What a circuit of that size can be told.

    Raises
    ------
    CapabilityError
        If a size is outside 1 to 64.
    """
    return nominal_limits(neurons, channels, NEURONS_LIMIT)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of one board, as factors on what they should be (1 if perfect) and offsets in volts (0 if perfect).

    Attributes
    ----------
    stiffness, quartic, bias, capacitor
        Factors (N,).
    nudge_up, nudge_down
        Factors (N,) of the circuits for +beta and for -beta.
    sense_a, sense_b, push_a, push_b
        Factors (N, K) of the weights where they form the buses, and where they bring a drive back to the neurons.
    drive_a, drive_b
        Factors (K,) of the drive gains.
    neuron_offset, first_offset, second_offset, target_offset, clamp_offset
        Offsets (N,) of a neuron's amplifier, of the two multipliers of its cubic, of its target and clamp.
    bus_a_offset, bus_b_offset
        Offsets (K,) of the amplifiers of the buses.
    """

    stiffness: Array
    quartic: Array
    bias: Array
    capacitor: Array
    nudge_up: Array
    nudge_down: Array
    sense_a: Array
    sense_b: Array
    push_a: Array
    push_b: Array
    drive_a: Array
    drive_b: Array
    neuron_offset: Array
    first_offset: Array
    second_offset: Array
    target_offset: Array
    clamp_offset: Array
    bus_a_offset: Array
    bus_b_offset: Array

    @classmethod
    def draw(cls, neurons: int, channels: int, mismatch: float, seed: int) -> Parts:
        """Draw a board: factors with standard deviation ``mismatch``, offsets with a tenth of it in volts."""
        rng = np.random.default_rng([seed, 0])
        drawn = {}
        for part in fields(cls):
            of_channels = part.name.startswith(("drive", "bus"))
            shape: tuple[int, ...] = (channels,) if of_channels else (neurons,)
            if part.name.startswith(("sense", "push")):
                shape = (neurons, channels)
            deviation = mismatch * np.clip(rng.standard_normal(shape), -3, 3)  # parts beyond are not sold
            drawn[part.name] = OFFSET_SHARE * deviation if part.name.endswith("offset") else 1 + deviation
        return cls(**drawn)


@dataclass(frozen=True, slots=True)
class _Readout:
    """Parts of the converter that heed temperature: factors and offsets (N,)."""

    read_gain: Array
    read_offset: Array


class Adc:
    """The readout: a converter behind a multiplexer, with gain, offset, bow and crosstalk for each neuron.

    Reads ``v + offset + gain_error v + bow (v^2 / range - range / 3) + crosstalk (v of the channel before - v)``, plus
    noise, rounded to its step and held within its range.

    Parameters
    ----------
    limits
        For range and step.
    mismatch
        Standard deviation of gain errors; offsets are a tenth of it in volts, bow a third, crosstalk a tenth.
    seed
        Of board and noise.
    temperature
        Of the converter (degrees Celsius).
    """

    def __init__(self, limits: Limits, mismatch: float, seed: int, temperature: float = CALIBRATED_AT) -> None:
        rng = np.random.default_rng([seed, 1])
        deviation = mismatch * np.clip(rng.standard_normal((4, limits.neurons)), -3, 3)
        drawn = _Readout(1 + deviation[0], OFFSET_SHARE * deviation[2])
        # Its own parts move by their own amounts: another seed than the circuit's.
        here = warmed(drawn, mismatch, seed + 1_000_000, temperature)
        self._gain, self._offset = here.read_gain, here.read_offset
        self._bow, self._crosstalk = deviation[1] / 3, 0.1 * np.abs(deviation[3])
        self._noise = np.random.default_rng([seed, 2])
        self._volts, self._lsb = limits.volts, limits.lsb

    def read(self, volts: Array, averages: int = 1) -> tuple[Array, NDArray[np.bool_]]:
        """Read ``volts`` (..., N): the average of several readings, and which of them met the end of the range."""
        seen = self._gain * volts + self._offset + self._bow * (volts**2 / self._volts - self._volts / 3)
        seen = seen + self._crosstalk * (np.roll(volts, 1, axis=-1) - volts)
        total, over = np.zeros(volts.shape), np.zeros(volts.shape, dtype=bool)
        for _ in range(averages):
            steps = np.round((seen + READ_NOISE * self._noise.standard_normal(volts.shape)) / self._lsb)
            top = self._volts / self._lsb
            over |= (steps < -top) | (steps > top - 1)
            total += np.clip(steps, -top, top - 1)
        return total / averages * self._lsb, over
