"""Measuring a plan on a board: repeated readings, medians, outliers measured again, everything kept in a journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import AnalogBoard, Drive, Reading, Trace, Wiring
from ..substrate.errors import DeviceError
from .agree import read_agreed
from .journal import Journal
from .plan import BLOCKS, Plan, Vector

__all__ = ["Measured", "Records", "measure", "record_traces", "refuse_lost", "remeasure"]

Array = NDArray[np.float64]

LOST = 0.1
"""Part of a channel's readings that may be left out before the board is refused."""

STEP, STEP_POINTS, STEP_FINE = 0.5, 160, 0.05
"""Step response: bias (V), samples, and their distance in time constants."""

LONG_POINTS, LONG_COARSE = 2048, 10.0
"""Record of noise: samples, and their distance in time constants."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was read.

    Attributes
    ----------
    volts
        Medians (V, N) of each vector's readings.
    spread
        Standard deviation (V, N) of a vector's readings, robust.
    valid
        Mask (V, N): enough readings agree that are neither overloaded nor unsettled.
    temperature, supply
        (V,) in degrees Celsius, and in volts; not a number where the board has no sensor.
    unsettled
        How far (N,) states typically move when a phase is run on once it has settled, in volts.
    repeated
        Number of vectors that were measured again.
    """

    volts: Array
    spread: Array
    valid: NDArray[np.bool_]
    temperature: Array
    supply: Array
    unsettled: Array
    repeated: int


@dataclass(frozen=True, slots=True)
class Records:
    """Records in time: the response to a step of all biases, and a long one at rest."""

    step: Trace
    rest: Trace


def measure(board: AnalogBoard, plan: Plan, journal: Journal, advance: Callable[[str], None]) -> Measured:
    """Measure all vectors of ``plan`` that ``journal`` does not have yet; ``advance`` is told the stage of each.

    Raises
    ------
    DeviceError
        If the board fails, saying what is kept.
    """
    wired: list[int] = []
    for number, vector in enumerate(plan.vectors):
        if number not in journal:
            try:
                journal.add(number, _measure(board, plan, vector, wired, again=False))
            except DeviceError as error:
                raise DeviceError(
                    f"Calibration stopped at vector {number + 1} of {len(plan.vectors)} ({vector.stage}): {error}. "
                    f"What was measured is kept in {journal.path}: give the same command to go on"
                ) from error
        advance(vector.stage)
    return _collect(plan, journal)


def refuse_lost(measured: Measured) -> None:
    """Raise :class:`DeviceError` if a channel gave too few usable values, naming it."""
    lost = 1 - measured.valid.mean(axis=0)
    if np.any(lost > LOST):
        channel = int(np.argmax(lost))
        raise DeviceError(
            f"Channel {channel} of the readout gave no usable value in {lost[channel]:.0%} of the vectors (overload, "
            "not settled, or readings that do not agree): check its amplifier and its cable"
        )


def remeasure(board: AnalogBoard, plan: Plan, journal: Journal, numbers: list[int]) -> Measured:
    """Measure vectors again that a fit found to be outliers."""
    wired: list[int] = []
    for number in numbers:
        journal.add(number, _measure(board, plan, plan.vectors[number], wired, again=True))
    return _collect(plan, journal)


def record_traces(board: AnalogBoard, plan: Plan, journal: Journal) -> Records:
    """Record the response to a step of all biases, and the noise at rest.

    Raises
    ------
    DeviceError
        If the board fails, saying what is kept.
    """
    try:
        return _record_traces(board)
    except DeviceError as error:
        raise DeviceError(
            f"Calibration stopped at its records in time, the last part: {error}. "
            f"What was measured is kept in {journal.path}: give the same command to go on"
        ) from error


def _record_traces(board: AnalogBoard) -> Records:
    limits = board.limits
    off, none = np.zeros((limits.neurons, limits.channels)), np.zeros(limits.neurons, dtype=bool)
    zeros, still = np.zeros(limits.neurons), np.zeros(limits.channels)
    board.wire(Wiring(off, off, none, none))
    bias = np.full(limits.neurons, min(STEP, limits.bias))
    fine, coarse = STEP_FINE * limits.time_constant, LONG_COARSE * limits.time_constant
    step = board.record(Drive(bias, zeros, zeros, still, still, restart=True), STEP_POINTS, fine)
    rest = board.record(Drive(bias, zeros, zeros, still, still), LONG_POINTS, coarse)
    return Records(step, rest)


def _measure(board: AnalogBoard, plan: Plan, vector: Vector, wired: list[int], *, again: bool) -> dict[str, object]:
    """Read one vector until its readings agree; ``again`` if it has been measured before."""
    found = read_agreed(lambda before: _read(board, plan, vector, wired, again=before > 0), plan.limits.lsb)
    sensors = board.sensors()
    return {
        "volts": found.volts.tolist(),
        "valid": found.valid.tolist(),
        "moved": found.moved.tolist(),
        "temperature": sensors.temperature,
        "supply": sensors.supply,
        "repeated": again or found.readings > BLOCKS,
    }


def _read(board: AnalogBoard, plan: Plan, vector: Vector, wired: list[int], *, again: bool) -> Reading:
    """Read a vector from 0 V, or ``again`` from where it settled: if that moves it, it had not settled."""
    if vector.drive is None:
        return board.reference(vector.reference, plan.averages)
    if wired != [vector.wiring]:
        wired.clear()
        board.wire(plan.wirings[vector.wiring])
        wired.append(vector.wiring)
    return board.phase(replace(vector.drive, restart=not again))


def _collect(plan: Plan, journal: Journal) -> Measured:
    entries = [journal[number] for number in range(len(plan.vectors))]
    blocks = np.array([entry["volts"] for entry in entries])
    gaps = np.diff(np.sort(blocks, axis=1), axis=1).min(axis=1)
    # The smaller gap of three readings of one normal distribution is 0.45 standard deviations on average.
    spread = np.maximum(gaps / 0.45, 0.0)
    driven = [vector.drive is not None for vector in plan.vectors]
    temperature, supply = (
        np.array([np.nan if entry[name] is None else entry[name] for entry in entries])
        for name in ("temperature", "supply")
    )
    return Measured(
        np.median(blocks, axis=1),
        spread,
        np.array([entry["valid"] for entry in entries]),
        temperature,
        supply,
        np.median(np.array([entry["moved"] for entry in entries])[driven], axis=0),
        sum(entry["repeated"] for entry in entries),
    )
