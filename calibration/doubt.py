"""What the uncertainty of a fit makes of the difference between nudged states, by draws of what the board may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Drive, Limits, Wiring
from .model import Model

__all__ = ["DRAWS", "Doubt"]

Array = NDArray[np.float64]

DRAWS = 16
"""Boards that are drawn: the size of an error is told to a fifth by so many."""

READ = ("read_gain", "read_bow", "before", "after")
NUDGED = ("nudge_up", "nudge_down", "target_gain", "target_offset")
COUPLED = ("sense_a", "sense_b", "push_a", "push_b", "drive_a", "drive_b")
"""Terms that are drawn."""


class Doubt:
    """Draws of the errors of a model, each with its own standard deviation: what the fit knows of correlations is lost.

    Terms that symmetric nudging cancels (stiffness, cubic, biases, clamps) are left out.

    Parameters
    ----------
    limits, model
        The board, and what the fit found.
    uncertainty
        One standard deviation of each value.
    seed
        Of the draws.
    """

    def __init__(self, limits: Limits, model: Model, uncertainty: Model, seed: int) -> None:
        self._limits, self._model = limits, model
        rng = np.random.default_rng([seed, 41])
        self._off = [
            {
                name: getattr(uncertainty, name) * rng.standard_normal(getattr(uncertainty, name).shape)
                for name in (*READ, *NUDGED, *COUPLED)
            }
            for _ in range(DRAWS)
        ]

    def of_difference(
        self, wiring: Wiring, free: Drive, nudge: Array, target: Array, scale: Array, at: Array, moved: Array,
        *, both: bool,
    ) -> Array:  # fmt: skip
        """Errors (D, N) of a difference of states, in volts, one for each draw.

        Parameters
        ----------
        wiring, free
            What the board was told, and what the free phase was driven with.
        nudge, target
            Strength (N,) of the nudge, 0 where there is none; and target (N,), as wanted.
        scale
            Logarithm (N,) of the factor that all forces on a neuron have.
        at, moved
            Free state, and the difference, each (N,).
        both
            Whether the difference is of both nudged phases, else of the positive one and the free one.
        """
        limits, model = self._limits, self._model
        unclamped = ~wiring.clamped
        inside = np.ix_(unclamped, unclamped)
        slope = (model.slope(limits, wiring, free, at) / np.exp(scale)[:, None])[inside]
        off_slopes = [
            (model_off.slope(limits, wiring, free, at) / np.exp(scale)[:, None])[inside] - slope
            for model_off in (self._coupled(off) for off in self._off)
        ]
        forces = []
        for off, off_slope in zip(self._off, off_slopes, strict=True):
            gain = off["nudge_up"] + off["nudge_down"] if both else off["nudge_up"]
            place = off["target_offset"] + off["target_gain"] * target
            force = nudge * (gain * (target - at) + (2 if both else 1) * place)
            # A gradient needs the transposed slope's answer; what is the same in both is the board's own energy.
            forces.append(force[unclamped] + (off_slope - off_slope.T) @ moved[unclamped])
        found = np.zeros((DRAWS, limits.neurons))
        found[:, unclamped] = -np.linalg.solve(slope, np.array(forces).T).T
        for row, off in enumerate(self._off):
            read = off["read_gain"] + 2 * off["read_bow"] * at / limits.volts - off["before"] - off["after"]
            found[row] -= read * moved + off["before"] * np.roll(moved, 1) + off["after"] * np.roll(moved, -1)
        return found

    def _coupled(self, off: dict[str, Array]) -> Model:
        return replace(self._model, **{name: getattr(self._model, name) + off[name] for name in COUPLED})
