"""Check standard: about a second of readings that notice drift since a board was calibrated."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import numpy as np

from ..drivers.analog.board import AnalogBoard, Reading
from ..drivers.analog.standard import Check, Standard
from .agree import read_agreed
from .history import History
from .plan import Vector, make_plan
from .record import Record
from .thermal import SPAN

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

    @property
    def state(self) -> str:
        """Of the record, on this board."""
        return self._history.state(self._record, datetime.now(UTC), self._board).value

    def check(self) -> Check:
        """Check the board, and add what was found to the history."""
        found = check_standard(self._board, self._record)
        self._history.add_check(self._record, found, datetime.now(UTC))
        return found


def check_standard(board: AnalogBoard, record: Record) -> Check:
    """Read a few vectors of the record's plan again, and compare with what it predicts. Weights are overwritten."""
    limits, temperature = board.limits, board.sensors().temperature
    model = record.board_model(temperature)
    plan = make_plan(limits, averages=record.standard["averages"], seed=record.standard["seed"])
    missed, valid = np.zeros(limits.neurons), np.ones(limits.neurons, dtype=bool)
    for stage, count in VECTORS:
        vectors = [vector for vector in plan.vectors if vector.stage == stage]
        for vector in vectors[:: max(len(vectors) // count, 1)][:count]:
            if vector.drive is None:
                volts = np.full(limits.neurons, vector.reference)
            else:
                wiring = plan.wirings[vector.wiring]
                volts = model.equilibrium(limits, wiring, vector.drive)
                board.wire(wiring)
            read = read_agreed(partial(_read, board, vector, plan.averages), limits.lsb)
            missed = np.maximum(missed, np.where(read.valid, np.abs(read.median - model.seen(limits, volts)), 0.0))
            valid &= read.valid
    noise = np.hypot(np.array(record.noise["white"]) / np.sqrt(plan.averages), record.noise["slow"])
    limit = np.maximum(ALLOWED, NOISES * noise / limits.lsb)
    missed = missed / limits.lsb
    worst = int(np.argmax(missed / limit))
    reason = ""
    if not valid.all():
        reason = f"channel {int(np.argmin(valid))} is overloaded, or no readings of it agree"
    elif missed[worst] > limit[worst]:
        reason = (
            f"channel {worst} reads {missed[worst]:.1f} steps beside what calibration {record.id} predicts "
            f"(allowed: {limit[worst]:.1f}){_warmer(record, temperature)}"
        )
    return Check(missed, reason, temperature)


def _read(board: AnalogBoard, vector: Vector, averages: int, before: int) -> Reading:
    """Read ``vector`` once more."""
    return board.reference(vector.reference, averages) if vector.drive is None else board.phase(vector.drive)


def _warmer(record: Record, temperature: float | None) -> str:
    """What the board's temperature has to do with it, if it is far from that of the record."""
    mean = record.temperature["mean"]
    if mean is None or temperature is None or abs(temperature - mean) < SPAN:
        return ""
    known = "heeded" if record.thermal() else "not known: a calibration made now tells it"
    return (
        f"; the board is at {temperature:.1f} degrees Celsius and was calibrated at {mean:.1f}, "
        f"what that does to it is {known}"
    )
