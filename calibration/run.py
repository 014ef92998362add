"""A calibration from plan to record."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ..drivers.analog.board import AnalogBoard
from ..substrate.errors import CalibrationError, DeviceError
from .apply import Calibrated
from .fit import Fit, fit_board
from .history import History
from .journal import Journal
from .measure import Measured, Records, measure, record_traces, refuse_lost, remeasure
from .model import Model
from .noise import Dynamics, Noise, dynamics, noise
from .plan import Plan, make_plan
from .record import UNITS, Record, board_uid
from .thermal import Point, find_thermal
from .verify import Verdict, drifted, verify

__all__ = ["Calibration", "Settings", "calibrate", "software_version"]

VALID_DAYS = 30.0
"""How long a record may be used, unless told otherwise."""

ROUNDS = 2
"""How often vectors that turn out to be outliers are measured again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to calibrate.

    Attributes
    ----------
    folder
        Of records.
    valid_days
        How long the record may be used.
    averages
        Readings that the board averages.
    seed
        Of the vectors.
    """

    folder: Path
    valid_days: float = VALID_DAYS
    averages: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.valid_days <= 3650:
            raise CalibrationError(f"Validity must be above 0 and at most 3650 days, not {self.valid_days:g}")
        if self.averages < 1:
            raise CalibrationError(f"Readings averaged must be at least 1, not {self.averages}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What came out: the record and its file. A record that ``failed`` is kept too."""

    record: Record
    path: Path

    def correction(self) -> Calibrated:
        """The correction that it makes."""
        return self.record.correction()


def software_version() -> str:
    """Version of Equipoise."""
    from importlib.metadata import version  # noqa: PLC0415

    return version("equipoise")


def calibrate(
    board: AnalogBoard,
    settings: Settings,
    *,
    advance: Callable[[str], None] = lambda stage: None,
    resumed: Callable[[int], None] = lambda count: None,
) -> Calibration:
    """Measure, fit, verify, and keep the record, whether it is accepted or not.

    Parameters
    ----------
    advance
        Told the stage of each vector that is done.
    resumed
        Told how many vectors an interrupted calibration had measured already, if any.

    Raises
    ------
    DeviceError
        If the board fails (what was measured is kept, and taken over next time) or cannot be trusted at all.
    CalibrationError, RunError
        If nothing can be written.
    """
    plan, history = make_plan(board.limits, averages=settings.averages, seed=settings.seed), History(settings.folder)
    begin = time.monotonic()
    head = {"device": board_uid(board.identity), "firmware": board.identity.firmware, "plan": plan.key, "form": 2}
    journal = Journal(history.board_folder(board.identity) / "journal.jsonl", head)
    try:
        if journal.resumed:
            resumed(journal.resumed)
        measured = measure(board, plan, journal, advance)
        fit = _fit(plan, measured, journal)
        for _ in range(ROUNDS):
            if not fit.outliers:
                break
            measured = remeasure(board, plan, journal, list(fit.outliers))
            fit = _fit(plan, measured, journal)
        records = record_traces(board, plan, journal)
    finally:
        journal.close()
    verdict = verify(plan, measured, fit)
    moving, noises = dynamics(plan.limits, fit.model, records.step), noise(plan.limits, fit.model, records.rest)
    seconds = time.monotonic() - begin
    arrays = _arrays(plan, measured, fit, records, noises)
    record = _record(board, settings, plan, measured, fit, verdict, moving, noises, seconds, arrays, history)
    path = history.add(record, arrays)
    journal.path.unlink(missing_ok=True)
    return Calibration(record, path)


def _fit(plan: Plan, measured: Measured, journal: Journal) -> Fit:
    """Fit what was measured; if it is no use, keep it where the next calibration does not take it over."""
    try:
        refuse_lost(measured)
        return fit_board(plan, measured)
    except DeviceError as error:
        raise DeviceError(f"{error}. What was measured is kept in {journal.set_aside()}") from error


def _record(
    board: AnalogBoard, settings: Settings, plan: Plan, measured: Measured, fit: Fit, verdict: Verdict,
    moving: Dynamics, noises: Noise, seconds: float, arrays: bytes, history: History,
) -> Record:  # fmt: skip
    now, limits = datetime.now(UTC), plan.limits
    parent = history.latest(board.identity)
    used = fit.residual.any(axis=1)
    drift = drifted(plan, measured)
    return Record(
        device=asdict(board.identity),
        created=now.isoformat(),
        valid_until=(now + timedelta(days=settings.valid_days)).isoformat(),
        temperature=_temperature(measured, fit, history.records(board_uid(board.identity)), now),
        supply=None if np.isnan(measured.supply).any() else float(measured.supply.mean()),
        reference={"volts": list(limits.references), "uncertainty": limits.reference_uncertainty},
        limits={**asdict(limits), "references": list(limits.references)},
        values={
            item.name: {
                "value": getattr(fit.model, item.name).tolist(),
                "uncertainty": getattr(fit.uncertainty, item.name).tolist(),
                "unit": UNITS.get(item.name, "log"),
            }
            for item in fields(Model)
        },
        readings=fit.readings.tolist(),
        residual={
            "lsb": (np.sqrt(np.mean(fit.residual[used] ** 2, axis=0)) / limits.lsb).tolist(),
            "chi": list(fit.chi),
        },
        noise={name: getattr(noises, name).tolist() for name in ("white", "slow", "knee")},
        dynamics={"time_constant": moving.time_constant.tolist(), "settling": moving.settling},
        drift=(drift / max(seconds, 1.0) * 3600).tolist(),
        verification={
            "as_found_lsb": verdict.as_found,
            "as_left_lsb": verdict.as_left,
            "channels_found_lsb": verdict.channels_found.tolist(),
            "channels_left_lsb": verdict.channels_left.tolist(),
        },
        standard={"seed": plan.seed, "averages": plan.averages},
        measured={
            "vectors": len(plan.vectors),
            "repeated": measured.repeated,
            "averages": plan.averages,
            "seed": plan.seed,
            "plan": plan.key,
            "seconds": round(seconds, 3),
        },
        failed=verdict.reason,
        parent=parent.id if parent else "",
        software=software_version(),
        raw=hashlib.sha256(arrays).hexdigest(),
    )


def _temperature(measured: Measured, fit: Fit, earlier: list[Record], now: datetime) -> dict[str, Any]:
    """Temperature, and its coefficients: from this and ``earlier`` records that still hold, else those known before."""
    seen = measured.temperature
    if np.isnan(seen).any():
        return {"mean": None, "span": None, "coefficients": None, "records": []}
    mean, span = float(seen.mean()), float(np.ptp(seen))
    here, shape = Point(mean, fit.model, fit.uncertainty), fit.model.sense_a.shape
    holding = [
        (record.id, point)
        for record in earlier
        if record.state(now).usable and (point := record.point()) and point.model.sense_a.shape == shape
    ]
    found, source = find_thermal([here, *(point for _, point in holding)]), [known for known, _ in holding]
    if found is None and earlier and (known := earlier[-1].thermal()) and known.slope.sense_a.shape == shape:
        found, source = known, earlier[-1].temperature["records"]
    return {
        "mean": mean,
        "span": span,
        "coefficients": found.to_values() if found else None,
        "records": source if found else [],
    }


def _arrays(plan: Plan, measured: Measured, fit: Fit, records: Records, noises: Noise) -> bytes:
    arrays: dict[str, Any] = {
        "volts": measured.volts,
        "spread": measured.spread,
        "valid": measured.valid,
        "temperature": measured.temperature,
        "supply": measured.supply,
        "residual": fit.residual,
        "stage": np.array([vector.stage for vector in plan.vectors]),
        "step_times": records.step.times,
        "step_volts": records.step.volts,
        "rest_times": records.rest.times,
        "rest_volts": records.rest.volts,
        "frequencies": noises.frequencies,
        "density": noises.density,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
