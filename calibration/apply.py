"""Calibrated: a record applied to a board, the one way in which a calibration has an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Drive, Limits, Reading, Wiring
from ..drivers.analog.correction import Correction
from .model import Model

__all__ = ["Calibrated"]

Array = NDArray[np.float64]


class Calibrated(Correction):
    """Corrects readout, symmetry of couplings, and the nudge; the rest symmetric nudging cancels.

    What nudges differ in from neuron to neuron is put right by the target, for which the state at the end of the free
    phase is needed: it is taken from the last reading without a nudge. Before there is one, only the mean is corrected.

    Parameters
    ----------
    limits
        Of the board.
    model
        What it is like.
    noise
        Standard deviation (N,) of one reading, in volts.
    slow
        Of what averaging does not remove, (N,), in volts.
    record
        Identifies the record.
    """

    def __init__(self, limits: Limits, model: Model, noise: Array, slow: Array, record: str) -> None:
        self._limits, self._model, self._noise, self._slow, self._record = limits, model, noise, slow, record
        self._output = np.zeros(limits.neurons, dtype=bool)
        self._free: Array | None = None
        self._last: Drive | None = None

    @property
    def record(self) -> str:
        """Identifier of the record."""
        return self._record

    def wiring(self, wanted: Wiring) -> Wiring:
        """Weights divided by the geometric mean of how they sense and how they push."""
        self._output, self._free = wanted.output, None
        model = self._model
        return replace(
            wanted,
            a=wanted.a / np.exp((model.sense_a + model.push_a) / 2),
            b=wanted.b / np.exp((model.sense_b + model.push_b) / 2),
        )

    def drive(self, wanted: Drive) -> Drive:
        """Gains equal in both directions, targets without offset, nudges of the same strength for both signs."""
        model, most = self._model, self._limits.volts
        if wanted.restart:
            self._free = None
        factors = np.exp(model.nudge_up if wanted.nudge > 0 else model.nudge_down)
        mean = float(factors[self._output].mean()) if self._output.any() else 1.0
        # The nudge may not exceed what the board can be told; what is missing is made up for by the target.
        nudge = float(np.clip(wanted.nudge / mean, -self._limits.nudge, self._limits.nudge))
        target = wanted.target
        if self._free is not None and nudge:
            target = self._free + (target - self._free) * (wanted.nudge / (nudge * factors))
        told = replace(
            wanted,
            drive_a=wanted.drive_a / np.exp(model.drive_a),
            drive_b=wanted.drive_b / np.exp(model.drive_b),
            nudge=nudge,
            target=np.clip((target - model.target_offset) / np.exp(model.target_gain), -most, most),
            clamp=np.clip((wanted.clamp - model.clamp_offset) / np.exp(model.clamp_gain), -most, most),
        )
        self._last = told
        return told

    def states(self, reading: Reading) -> Array:
        """The readout's offset, gain, bow and crosstalk taken off."""
        states = self._model.true(self._limits, reading.volts)
        if self._last is not None and not self._last.nudge:
            self._free = states
        return states

    def uncertainty(self, reading: Reading) -> Array:
        """Noise of one reading, made smaller by averaging, and what averaging does not remove; of two readings."""
        averages = self._last.averages if self._last is not None else 1
        # Without noise to spread it, rounding is the same in all readings that are averaged.
        rounding = self._limits.lsb / np.sqrt(12) / np.where(self._noise > 0.4 * self._limits.lsb, np.sqrt(averages), 1)
        gain = 1 + self._model.read_gain
        return np.sqrt(2 * (self._noise**2 / averages + rounding**2 + self._slow**2)) / gain
