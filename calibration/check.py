"""Check standard: about a second of readings that notice drift since a board was calibrated."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from ..drivers.analog.board import AnalogBoard
from ..drivers.analog.standard import Check, Standard
from .history import History
from .plan import BLOCKS, make_plan
from .record import Record

__all__ = ["RecordStandard", "check_standard"]

ALLOWED = 4.0
"""Steps of the readout that a reading may differ from what the record predicts."""

NOISES = 6.0
"""Instead, on a board with much noise, standard deviations of the reading."""

VECTORS = (("references", 3), ("held-out", 2))
"""How many vectors of which stage are read again."""


class RecordStandard(Standard):
    """A board held against one record; every check is kept beside it.

    Parameters
    ----------
    board, record, history
        The board, its record, and where that is kept.
    strict
        Whether a board that has drifted is refused.
    """

    def __init__(self, board: AnalogBoard, record: Record, history: History, *, strict: bool) -> None:
        self._board, self._record, self._history, self.strict = board, record, history, strict

    def check(self) -> Check:
        """Check the board, and add what was found to the history."""
        found = check_standard(self._board, self._record)
        self._history.add_check(self._record, found, datetime.now(UTC))
        return found


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
