"""Check standard: about a second of readings that notice drift since a board was calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import AnalogBoard
from .plan import BLOCKS, make_plan
from .record import Record

__all__ = ["Check", "check_standard"]

ALLOWED = 4.0
"""Steps of the readout that a reading may differ from what the record predicts."""

NOISES = 6.0
"""Instead, on a board with much noise, standard deviations of the reading."""

VECTORS = (("references", 3), ("held-out", 2))
"""How many vectors of which stage are read again."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found: the largest miss (N,) of each channel in steps, and why the record must not be used."""

    missed: NDArray[np.float64]
    reason: str


def check_standard(board: AnalogBoard, record: Record) -> Check:
    """Read a few vectors of the record's plan again, and compare with what it predicts. Weights are overwritten."""
    limits, model = board.limits, record.board_model()
    plan = make_plan(limits, averages=record.standard["averages"], seed=record.standard["seed"])
    missed = np.zeros(limits.neurons)
    for stage, count in VECTORS:
        vectors = [vector for vector in plan.vectors if vector.stage == stage]
        for vector in vectors[:: max(len(vectors) // count, 1)][:count]:
            if vector.drive is None:
                volts = np.full(limits.neurons, vector.reference)
                read = [board.reference(vector.reference, plan.averages).volts for _ in range(BLOCKS)]
            else:
                wiring = plan.wirings[vector.wiring]
                volts = model.equilibrium(limits, wiring, vector.drive)
                board.wire(wiring)
                read = [board.phase(vector.drive).volts for _ in range(BLOCKS)]
            missed = np.maximum(missed, np.abs(np.median(read, axis=0) - model.seen(limits, volts)))
    noise = np.hypot(np.array(record.noise["white"]) / np.sqrt(plan.averages), record.noise["slow"])
    limit = np.maximum(ALLOWED, NOISES * noise / limits.lsb)
    missed = missed / limits.lsb
    worst = int(np.argmax(missed / limit))
    reason = ""
    if missed[worst] > limit[worst]:
        reason = (
            f"channel {worst} reads {missed[worst]:.1f} steps beside what calibration {record.id} predicts "
            f"(allowed: {limit[worst]:.1f})"
        )
    return Check(missed, reason)
