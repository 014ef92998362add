"""The page of a calibration: one HTML file that needs nothing else."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ...calibration.history import History
from ...calibration.record import Record, State
from ...calibration.thermal import SPAN
from ...substrate.errors import CalibrationError
from ...substrate.files import write_atomically
from ..templates import template
from . import figures

__all__ = ["write_calibration_report"]


def write_calibration_report(history: History, record: Record, path: Path) -> Path:
    """Write the page of ``record``, whose file is ``path``, beside it.

    Raises
    ------
    CalibrationError
        If its arrays are missing or were altered, or the page cannot be written.
    """
    source = path.with_suffix(".npz")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise CalibrationError(f"Readings '{source}' cannot be read ({error.strerror}): calibrate anew") from None
    if hashlib.sha256(data).hexdigest() != record.raw:
        raise CalibrationError(f"Readings '{source}' were altered: their hash is not the one of record {record.id}")
    with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
        arrays = dict(loaded)
    now = datetime.now(UTC)
    page = template("page.html", __package__, "equipoise.host.report").render(
        record=record,
        state=history.state(record, now).value,
        rows=_rows(record),
        before=[
            (each.id, each.created[:19], history.state(each, now).value, _why(history, each))
            for each in history.records(record.uid)
        ],
        pictures=[
            figures.held_out(record),
            figures.residuals(record, arrays),
            figures.gain_map(record),
            figures.offsets(record),
            figures.step_response(record, arrays),
            figures.noise_spectrum(record, arrays),
        ],
    )
    written = path.with_suffix(".html")
    try:
        write_atomically(written, page.encode())
    except OSError as error:
        raise CalibrationError(f"Report '{written}' cannot be written ({error.strerror}): free space there") from None
    return written


def _why(history: History, record: Record) -> str:
    """Why a record may not be used: it failed, expired, or its last check missed."""
    state, checks = history.state(record, datetime.now(UTC)), history.checks(record)
    if state in {State.EXPIRED, State.EXPIRING}:
        return f"valid until {record.valid_until[:19]}"
    return record.failed or (checks[-1]["reason"] if checks else "")


def _rows(record: Record) -> list[tuple[str, str]]:
    noise, supply = record.noise, record.supply
    found, left = (record.verification[f"as_{when}_lsb"] for when in ("found", "left"))
    drift = float(np.abs(record.drift).max()) / record.limits["lsb"]
    return [
        ("board", record.uid),
        ("firmware", record.device["firmware"]),
        ("created", record.created[:19]),
        ("valid until", record.valid_until[:19]),
        ("temperature", _temperature(record)),
        ("temperature coefficients", _coefficients(record)),
        ("supply", "no sensor" if supply is None else f"{supply:.3g} V"),
        ("reference", ", ".join(f"{v:g}" for v in record.reference["volts"]) + " V, "
         f"+-{1e6 * record.reference['uncertainty']:.0f} uV"),
        ("held-out readings, as found", f"{found:.2f} LSB rms"),
        ("held-out readings, as left", f"{left:.2f} LSB rms"),
        ("residual over noise, readout and network", ", ".join(f"{chi:.2f}" for chi in record.residual["chi"])),
        ("vectors, measured again", f"{record.measured['vectors']}, {record.measured['repeated']}"),
        ("noise of a reading, median", f"{1e6 * np.median(noise['white']):.0f} uV"),
        ("drift, largest", f"{drift:.1f} LSB/h, told from {record.measured['seconds']:.0f} s; not applied"),
        ("settling time", f"{1e6 * record.dynamics['settling']:.0f} us"),
        ("parent", record.parent or "none"),
        ("software", record.software),
    ]  # fmt: skip


def _temperature(record: Record) -> str:
    mean, span = record.temperature["mean"], record.temperature["span"]
    return "no sensor" if mean is None else f"{mean:.1f} degrees Celsius, moved by {span:.1f} K"


def _coefficients(record: Record) -> str:
    """The largest of readout gains and offsets, and where they come from."""
    thermal = record.thermal()
    if thermal is None:
        return f"not known: needs records of this board at temperatures at least {SPAN:g} K apart"
    gain, offset = (float(np.abs(values).max()) for values in (thermal.slope.read_gain, thermal.slope.read_offset))
    return (
        f"applied; readout at most {1e6 * gain:.0f} ppm/K and {1e6 * offset:.0f} uV/K, with "
        f"{', '.join(record.temperature['records'])}"
    )
