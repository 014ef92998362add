"""Calibrated: a record applied to a board, the one way in which a calibration has an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Drive, Limits, Reading, Wiring
from ..drivers.analog.correction import Correction
from .doubt import Doubt
from .model import Model
from .thermal import Point, Thermal

__all__ = ["Calibrated"]

Array = NDArray[np.float64]


DOUBT_SEED = 0

STIR = 0.1
"""Kelvin by which the temperature must move before values are corrected anew: what sensors can tell."""

BALANCE = 20
"""Rounds in which scales of neurons and of channels are balanced; each halves what is left, or better."""


class Calibrated(Correction):
    """Corrects readout, symmetry of couplings, and the nudge; stiffness, cubic and time constants cancel by themselves.

    A weight is one number on the board, but acts twice: it senses, and it pushes. Where the two differ, there is no
    energy. All forces on a neuron may have a factor, though, so each neuron is given the one for which its weights
    differ least; gains and biases are told accordingly. What is left of a weight is divided among sense and push. A
    clamped neuron is not pushed, so there the weight senses right.

    What nudges differ in from neuron to neuron is put right by the target, for which the state at the end of the free
    phase is needed: it is taken from the last reading without a nudge. Before there is one, only the mean is corrected.

    What is left of a difference between sense and push would make the nudge answer with the transposed slope of what a
    gradient needs. As the model knows the slope, biases of the nudged phases make that good, by first order. Source:
    Equilibrium Propagation for Non-Conservative Systems, arXiv:2602.03670.

    Parameters
    ----------
    limits
        Of the board.
    model, uncertainty
        What it is like, and one standard deviation of each value.
    noise
        Standard deviation (N,) of one reading, in volts.
    slow
        Of what averaging does not remove, (N,), in volts.
    record
        Identifies the record.
    """

    def __init__(
        self, limits: Limits, model: Model, uncertainty: Model, noise: Array, slow: Array, record: str
    ) -> None:
        self._limits, self._model, self._noise, self._slow, self._record = limits, model, noise, slow, record
        self._doubt = Doubt(limits, model, uncertainty, DOUBT_SEED)
        self._held = dict.fromkeys(("clamps", "targets", "biases", "nudges"), 0)
        none = np.zeros(limits.neurons, dtype=bool)
        off = np.zeros((limits.neurons, limits.channels))
        self._told = Wiring(off, off, none, none)
        self._scale = np.zeros(limits.neurons)
        self._gains = model.drive_a, model.drive_b
        self._free: Array | None = None
        self._last: Drive | None = None
        self._thermal: tuple[Point, Thermal] | None = None
        self._temperature = float("nan")

    def follow(self, point: Point, thermal: Thermal) -> None:
        """From now on, :meth:`at` a temperature values are what ``thermal`` makes of those of ``point``."""
        self._thermal, self._temperature = (point, thermal), point.temperature

    @property
    def record(self) -> str:
        """Identifier of the record."""
        return self._record

    @property
    def held(self) -> dict[str, int]:
        """Corrected values beyond the board's range, by kind."""
        return dict(self._held)

    def at(self, temperature: float | None) -> bool:
        """Values at ``temperature``, if coefficients are known and it has moved by :data:`STIR`."""
        if self._thermal is None or temperature is None or abs(temperature - self._temperature) < STIR:
            return False
        point, thermal = self._thermal
        moved = thermal.at(point, temperature)
        self._temperature, self._model = temperature, moved.model
        self._doubt = Doubt(self._limits, moved.model, moved.uncertainty, DOUBT_SEED)
        return True

    def wiring(self, wanted: Wiring) -> Wiring:
        """Weights divided by how they sense and push."""
        self._free = None
        model, free = self._model, ~wanted.clamped[:, None]
        scale = self._scale = self._balance(wanted)
        sides = []
        for weights, sense, push in (
            (wanted.a, model.sense_a, model.push_a),
            (wanted.b, model.sense_b, model.push_b),
        ):
            factor = np.where(free, (sense + push - scale[:, None]) / 2, sense)
            # Which weights there are counts, not their sizes: or the correction would move with what is trained.
            used = weights != 0
            pushes = _mean(push - scale[:, None] - factor, used * free)
            sides.append((weights / np.exp(factor), _mean(sense - factor, used), pushes))
        (a, senses_a, pushes_a), (b, senses_b, pushes_b) = sides
        self._gains = model.drive_a + pushes_a + senses_b, model.drive_b + pushes_b + senses_a
        self._told = replace(wanted, a=a, b=b)
        return self._told

    def drive(self, wanted: Drive) -> Drive:
        """Gains equal in both directions, biases and targets as wanted, nudges of one strength for both signs.

        What the board cannot be told is held at the end of its range, and counted.
        """
        model, limits, output = self._model, self._limits, self._told.output
        if wanted.restart:
            self._free = None
        factors = np.exp((model.nudge_up if wanted.nudge > 0 else model.nudge_down) - self._scale)
        mean = float(factors[output].mean()) if output.any() else 1.0
        nudge = float(self._hold("nudges", np.array([wanted.nudge / mean]), limits.nudge, np.array([True]))[0])
        target, bias, told = wanted.target, wanted.bias, self._gained(wanted)
        if self._free is not None and nudge:
            # What is missing of a nudge that was held is made up for here.
            target = self._free + (target - self._free) * (wanted.nudge / (nudge * factors))
            bias = bias + self._transposing(wanted, told, self._free)
        bias = bias / np.exp(model.bias_gain - self._scale)
        target = (target - model.target_offset) / np.exp(model.target_gain)
        clamp = (wanted.clamp - model.clamp_offset) / np.exp(model.clamp_gain)
        told = replace(
            told,
            bias=self._hold("biases", bias, limits.bias, ~self._told.clamped),
            nudge=nudge,
            target=self._hold("targets", target, limits.volts, output & (nudge != 0)),
            clamp=self._hold("clamps", clamp, limits.volts, self._told.clamped),
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
        return np.asarray(np.sqrt(2 * (self._noise**2 / averages + rounding**2 + self._slow**2)) / gain)

    def doubt(self, wanted: Drive, free: Array, moved: Array, *, both: bool) -> Array:
        """Of what the fit is not sure of; see :class:`~.doubt.Doubt`."""
        nudge = np.where(self._told.output, abs(wanted.nudge), 0.0)
        told = self._gained(wanted)
        return self._doubt.of_difference(self._told, told, nudge, wanted.target, self._scale, free, moved, both=both)

    def _gained(self, wanted: Drive) -> Drive:
        """``wanted`` without its nudge, with the gains that the board is told."""
        gains = {
            name: getattr(wanted, name) / np.exp(gain)
            for name, gain in zip(("drive_a", "drive_b"), self._gains, strict=True)
        }
        return replace(wanted, nudge=0.0, **gains)

    def _transposing(self, wanted: Drive, told: Drive, states: Array) -> Array:
        """Forces (N,) beside a nudge ``f`` for which the states answer with ``-K^-T f`` in place of ``-K^-1 f``.

        ``K`` is the slope of the forces on free neurons at ``states``, in the scale of the wanted ones.
        """
        free = ~self._told.clamped
        slope = self._model.slope(self._limits, self._told, told, states) / np.exp(self._scale)[:, None]
        slope = slope[np.ix_(free, free)]
        nudge = (wanted.nudge * self._told.output * (wanted.target - states))[free]
        beside = np.zeros(self._limits.neurons)
        beside[free] = slope @ np.linalg.solve(slope.T, nudge) - nudge
        return beside

    def _hold(self, kind: str, values: Array, most: float, where: NDArray[np.bool_]) -> Array:
        """``values`` held within the board's range; those beyond are counted ``where`` they matter."""
        self._held[kind] += int(((np.abs(values) > most) & where).sum())
        return np.clip(values, -most, most)

    def _balance(self, wanted: Wiring) -> Array:
        """Logarithm (N,) of a factor on all forces of each neuron, for which push and sense of its weights agree best.

        A channel's side may differ as a whole, which its drive gain makes good: so neurons and sides take turns.
        """
        model, free = self._model, ~wanted.clamped[:, None]
        ratio = np.concatenate([model.push_a - model.sense_a, model.push_b - model.sense_b], axis=1)
        weight = (np.concatenate([wanted.a, wanted.b], axis=1) != 0) * free
        scale = np.zeros(self._limits.neurons)
        for _ in range(BALANCE):
            of_side = _mean(ratio - scale[:, None], weight)
            scale = _mean((ratio - of_side).T, weight.T)
        return np.asarray(scale - scale[~wanted.clamped].mean()) if not wanted.clamped.all() else scale


def _mean(values: Array, weight: Array) -> Array:
    """Weighted mean over the first axis; 0 where there is no weight."""
    total = weight.sum(axis=0)
    return np.asarray((values * weight).sum(axis=0) / np.where(total > 0, total, 1.0))
