"""Records of calibrations: what was found of one board, how sure, when, by what, and until when it may be used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import numpy as np

from ..drivers.analog.board import BoardIdentity, Limits
from ..substrate.errors import CalibrationError
from .apply import Calibrated
from .model import Model
from .thermal import Point, Thermal

__all__ = ["SCHEMA", "UNITS", "Record", "State", "board_uid"]

SCHEMA = 1
"""Version of the form of records."""

EXPIRING = 0.1
"""Last part of its validity in which a record counts as expiring."""

UNITS = {
    **dict.fromkeys(
        ("bias_offset", "target_offset", "clamp_offset", "read_offset", "bus_a_offset", "bus_b_offset"), "V"
    ),
    **dict.fromkeys(("read_gain", "read_bow", "before", "after"), "1"),
    "even": "1/V",
    "fourth": "1/V^3",
}
"""Units of terms; all others are logarithms of factors."""


class State(Enum):
    """Whether a record may be used."""

    VALID = "valid"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    DRIFTED = "drifted"
    FAILED = "failed"
    FOREIGN = "foreign device"

    @property
    def usable(self) -> bool:
        """Whether a run may use it without being told to."""
        return self in {State.VALID, State.EXPIRING}


def board_uid(identity: BoardIdentity) -> str:
    """What tells one board from all others."""
    return f"{identity.maker},{identity.model},{identity.serial}"


@dataclass(frozen=True, slots=True)
class Record:
    """One calibration.

    Attributes
    ----------
    device
        Identity of the board: maker, model, serial, firmware.
    created, valid_until
        Times in UTC, as ISO 8601.
    temperature
        ``mean`` and ``span`` over the calibration in degrees Celsius, None without a sensor; ``coefficients``, what
        the values change by a kelvin with their uncertainties (None if they are not known), and ``records``,
        identifiers of the earlier ones that these come from.
    supply
        Mean over the calibration (V); None where the board has no way to tell.
    reference
        ``volts`` and ``uncertainty`` (V) of what the readout was held against.
    limits
        Of the board, as it gave them.
    values
        For each term of the model ``value``, ``uncertainty`` (one standard deviation) and ``unit``.
    readings
        Number of readings that each channel's values come from.
    residual
        ``lsb``: root mean square (N,) of what the fit leaves; ``chi``: over what noise explains, readout and network.
    noise
        ``white``, ``slow`` (V) and ``knee`` (Hz) of each channel.
    dynamics
        ``time_constant`` (s) of each neuron, and ``settling`` (s) of the slowest.
    drift
        Of each channel over the calibration (V/h).
    verification
        Of vectors that the fit did not see: root mean square of predicted minus read, in steps of the readout, by the
        perfect board (``as_found_lsb``) and by this record (``as_left_lsb``), and of each channel (``channels_...``).
    standard
        What a check reads again: indices into the plan's vectors, and what was predicted there.
    measured
        ``vectors``, ``repeated``, ``averages``, ``seed``, ``plan`` (its key) and ``seconds``.
    failed
        Why it was rejected; empty if it was not.
    parent
        Identifier of the record before; empty if there was none.
    software
        Version of Equipoise.
    raw
        SHA-256 of the file of arrays beside the record: all that was read.
    """

    device: dict[str, str]
    created: str
    valid_until: str
    temperature: dict[str, Any]
    supply: float | None
    reference: dict[str, Any]
    limits: dict[str, Any]
    values: dict[str, dict[str, Any]]
    readings: list[int]
    residual: dict[str, Any]
    noise: dict[str, list[float]]
    dynamics: dict[str, Any]
    drift: list[float]
    verification: dict[str, Any]
    standard: dict[str, Any]
    measured: dict[str, Any]
    failed: str
    parent: str
    software: str
    raw: str
    model: str = "equipoise-analog-1"
    schema: int = SCHEMA

    @property
    def id(self) -> str:
        """Hash of the content: 16 hexadecimal digits."""
        return hashlib.sha256(self._canonical()).hexdigest()[:16]

    @property
    def uid(self) -> str:
        """The board it is of."""
        return board_uid(BoardIdentity(**self.device))

    def state(self, now: datetime, identity: BoardIdentity | None = None, limits: Limits | None = None) -> State:
        """Whether it may be used now, on the board with ``identity`` and ``limits`` if they are given."""
        begin, end = datetime.fromisoformat(self.created), datetime.fromisoformat(self.valid_until)
        if identity is not None and board_uid(identity) != self.uid:
            return State.FOREIGN
        if limits is not None and json.loads(json.dumps(asdict(limits))) != self.limits:
            return State.FOREIGN  # the same name, but other parts
        if self.failed:
            return State.FAILED
        if not begin - timedelta(hours=1) <= now < end:  # a clock that was set back says nothing of its age
            return State.EXPIRED
        return State.EXPIRING if now >= end - EXPIRING * (end - begin) else State.VALID

    def point(self) -> Point | None:
        """What was found, and at which temperature; None without a sensor."""
        mean = self.temperature["mean"]
        return None if mean is None else Point(mean, self._model("value"), self._model("uncertainty"))

    def thermal(self) -> Thermal | None:
        """Temperature coefficients, if they are known."""
        values = self.temperature.get("coefficients")  # records of earlier versions have none
        return Thermal.from_values(values) if values else None

    def board_model(self, temperature: float | None = None) -> Model:
        """The model with this record's values; at ``temperature`` (degrees Celsius) as far as that is known."""
        point, thermal = self.point(), self.thermal()
        if temperature is None or point is None or thermal is None:
            return self._model("value")
        return thermal.at(point, temperature).model

    def board_limits(self) -> Limits:
        """Limits of the board, as they were."""
        return Limits(**self.limits | {"references": tuple(self.limits["references"])})

    def correction(self) -> Calibrated:
        """The correction that this record makes."""
        white, slow = np.array(self.noise["white"]), np.array(self.noise["slow"])
        model, uncertainty, thermal = self._model("value"), self._model("uncertainty"), self.thermal()
        calibrated = Calibrated(self.board_limits(), model, uncertainty, white, slow, self.id)
        if (point := self.point()) is not None and thermal is not None:
            calibrated.follow(point, thermal)
        return calibrated

    def to_json(self) -> bytes:
        """The content with its identifier, as a file holds it."""
        return json.dumps({"id": self.id, **json.loads(self._canonical())}, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, source: str) -> Record:
        """Read what :meth:`to_json` made.

        Raises
        ------
        CalibrationError
            If it is no record, one of a newer schema, or was altered.
        """
        try:
            content = json.loads(data)
            said, schema = content.pop("id"), content["schema"]
            if schema == SCHEMA:
                record = cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise CalibrationError(f"'{source}' is not a calibration record: calibrate anew") from None
        if schema != SCHEMA:
            raise CalibrationError(
                f"Record '{source}' has schema {schema}, this version reads {SCHEMA}: calibrate anew"
            )
        if record.id != said:
            raise CalibrationError(f"Record '{source}' was altered: its content has id {record.id}, it says {said}")
        return record

    def _model(self, part: str) -> Model:
        return Model(*(np.array(self.values[item.name][part], dtype=float) for item in fields(Model)))

    def _canonical(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
