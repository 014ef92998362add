"""What is measured in a calibration, in which order, and how long it takes: fixed before anything is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Drive, Limits, Wiring
from ..substrate.errors import CapabilityError
from .model import nominal

__all__ = ["BLOCKS", "STAGES", "Plan", "Vector", "make_plan"]

Array = NDArray[np.float64]

BLOCKS = 3
"""Readings of each vector, of which the median is taken."""

STAGES = {
    "references": "offset, gain and bow of the readout",
    "crosstalk": "crosstalk of the readout, clamps",
    "biases": "stiffness, cubic, gain and offset of biases",
    "couplings": "sense and push of each weight, drive gains, offsets of buses",
    "nudges": "gain of each sign of the nudge, gain and offset of targets",
    "held-out": "what the fit does not see: it must be predicted",
    "end": "drift since the beginning",
}
"""Stages in order, and what each is for."""

_RANGE = 1.3
"""Of states that biases are drawn for (V)."""

_WEIGHT = 0.7
"""Largest weight at 8 neurons."""

_COUPLED = 0.6
"""Norm of the coupling matrix, in stiffnesses: below 1 the board settles, whatever its mismatch."""

_PER_WIRING = 6
"""Drives measured with one set of weights, which take long to set."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One measurement of all neurons.

    Attributes
    ----------
    stage
        One of :data:`STAGES`.
    wiring
        Index into :attr:`Plan.wirings`; -1 for a reference.
    drive
        What is told; None for a reference.
    reference
        Voltage of a reference; not a number for a drive.
    """

    stage: str
    wiring: int
    drive: Drive | None
    reference: float = float("nan")


@dataclass(frozen=True, slots=True)
class Plan:
    """All measurements of a calibration, in order; ``key`` says whether two plans are the same."""

    limits: Limits
    wirings: tuple[Wiring, ...]
    vectors: tuple[Vector, ...]
    averages: int
    seed: int

    @property
    def key(self) -> str:
        """Hash of everything that decides what is measured."""
        deciding = [repr(self.limits), len(self.vectors), self.averages, self.seed, BLOCKS]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """Number of vectors of each stage."""
        return {stage: sum(vector.stage == stage for vector in self.vectors) for stage in STAGES}

    def seconds(self, per_phase: float) -> float:
        """How long it takes, if a phase takes ``per_phase`` seconds."""
        return per_phase * BLOCKS * len(self.vectors)


def make_plan(limits: Limits, *, averages: int = 64, seed: int = 0) -> Plan:
    """The plan for a board with ``limits``, drawn from ``seed``: 78 + 4 K vectors with five references, or more.

    A bus tells one number a vector of N weights that sense, so beyond some neurons there are 3 N / 2 for couplings.

    Raises
    ------
    CapabilityError
        If the board has fewer than three references, which offset, gain and bow need.
    """
    if len(limits.references) < 3:
        raise CapabilityError(
            f"Calibration needs at least 3 voltage references on the board, it has {len(limits.references)}: "
            "name them in its profile"
        )
    return _Planner(limits, averages, seed).plan()


class _Planner:
    def __init__(self, limits: Limits, averages: int, seed: int) -> None:
        self._limits, self._averages, self._seed = limits, averages, seed
        self._rng = np.random.default_rng([seed, 77])
        n, k = limits.neurons, limits.channels
        self._none = np.zeros(n, dtype=bool)
        self._off = np.zeros((n, k))
        self._wirings: list[Wiring] = []
        self._vectors: list[Vector] = []

    def plan(self) -> Plan:
        limits, n = self._limits, self._limits.neurons
        for volts in limits.references:
            self._vectors.append(Vector("references", -1, None, volts))
        clamps = self._wire(Wiring(self._off, self._off, ~self._none, self._none))
        for _ in range(8):
            self._add("crosstalk", clamps, clamp=self._rng.choice([-0.7, -0.2, 0.2, 0.7], n) * limits.volts)
        alone = self._wire(Wiring(self._off, self._off, self._none, ~self._none))
        for _ in range(14):
            self._add("biases", alone, bias=self._bias())
        for turn in range(max(24 + 4 * limits.channels, 3 * n // 2)):
            if turn % _PER_WIRING == 0:
                coupled = self._coupled()
            self._driven("couplings", coupled)
        nudged = self._wire(Wiring(self._off, self._off, self._none, ~self._none))
        for turn in range(16):
            target = self._rng.uniform(-_RANGE, _RANGE, n)
            self._add("nudges", nudged, bias=self._bias(0.7), target=target, nudge=self._nudge(turn))
        for turn in range(10):
            if turn % 5 == 0:
                coupled = self._coupled()
            self._driven("held-out", coupled, nudge=self._nudge(turn) if turn % 5 else 0.0)
        self._vectors.append(Vector("end", -1, None, min(limits.references, key=abs)))
        return Plan(limits, tuple(self._wirings), tuple(self._vectors), self._averages, self._seed)

    def _nudge(self, turn: int) -> float:
        return float((-1) ** turn * 0.8 * min(self._limits.nudge, 0.6 * self._limits.stiffness))

    def _wire(self, wiring: Wiring) -> int:
        self._wirings.append(wiring)
        return len(self._wirings) - 1

    def _bias(self, part: float = 1.0) -> Array:
        """Biases for which states would be drawn evenly on a perfect board without couplings."""
        limits = self._limits
        states = self._rng.uniform(-_RANGE, _RANGE, limits.neurons) * part
        return np.clip(limits.stiffness * states + limits.quartic * states**3, -limits.bias, limits.bias)

    def _coupled(self) -> int:
        limits = self._limits
        size = (2, limits.neurons, limits.channels)
        most = min(_WEIGHT * np.sqrt(8 / max(limits.neurons, 8)), limits.weight)
        weights = self._rng.choice([-1, 1], size) * self._rng.uniform(0.5, 1.0, size) * most
        return self._wire(Wiring(weights[0], weights[1], self._none, ~self._none))

    def _driven(self, stage: str, number: int, nudge: float = 0.0) -> None:
        """A vector with drives that differ between the directions, small enough for the board to settle."""
        limits, wiring = self._limits, self._wirings[number]
        gains = self._rng.choice([-1, 1], (2, limits.channels)) * self._rng.uniform(0.3, 1.0, (2, limits.channels))
        matrix = (wiring.a * gains[0]) @ wiring.b.T + (wiring.b * gains[1]) @ wiring.a.T
        gains *= min(_COUPLED * limits.stiffness / float(np.linalg.norm(matrix, 2)), limits.gain)
        target = self._rng.uniform(-_RANGE, _RANGE, limits.neurons)
        drive = self._drive(bias=self._bias(), target=target, nudge=nudge, drive_a=gains[0], drive_b=gains[1])
        states = nominal(limits).equilibrium(limits, wiring, drive)
        buses = np.concatenate([states @ wiring.a, states @ wiring.b])
        # A bus near its rail saturates: shrink the biases, and with them the states.
        part = min(1.0, 0.7 * limits.volts / float(np.abs(buses).max()))
        self._vectors.append(Vector(stage, number, self._drive(
            bias=drive.bias * part, target=target * part, nudge=nudge, drive_a=gains[0], drive_b=gains[1]
        )))  # fmt: skip

    def _add(self, stage: str, wiring: int, **told: Array | float) -> None:
        self._vectors.append(Vector(stage, wiring, self._drive(**told)))

    def _drive(self, **told: Array | float) -> Drive:
        n, k = self._limits.neurons, self._limits.channels
        values: dict[str, Array | float] = {name: np.zeros(n) for name in ("bias", "clamp", "target")}
        values |= {"drive_a": np.zeros(k), "drive_b": np.zeros(k)} | told
        return Drive(**values, restart=True, averages=self._averages)  # type: ignore[arg-type]
