"""What a board's temperature does to its model: a line for each value, through records taken at different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import Model

__all__ = ["SPAN", "Point", "Thermal", "find_thermal"]

Array = NDArray[np.float64]

SPAN = 3.0
"""Kelvin that the temperatures of records must be apart for coefficients to be told from them."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one calibration found, and one standard deviation of it, at ``temperature`` (degrees Celsius)."""

    temperature: float
    model: Model
    uncertainty: Model


@dataclass(frozen=True, slots=True)
class Thermal:
    """Temperature coefficients.

    Attributes
    ----------
    slope, uncertainty
        Of each value of the model a kelvin, and one standard deviation of it.
    """

    slope: Model
    uncertainty: Model

    def at(self, point: Point, temperature: float) -> Point:
        """What ``point`` becomes at ``temperature``; the farther away, the less sure."""
        by = temperature - point.temperature
        moved, sure = {}, {}
        for item in fields(Model):
            name = item.name
            moved[name] = getattr(point.model, name) + by * getattr(self.slope, name)
            sure[name] = np.hypot(getattr(point.uncertainty, name), by * getattr(self.uncertainty, name))
        return Point(temperature, replace(point.model, **moved), replace(point.uncertainty, **sure))

    def to_values(self) -> dict[str, dict[str, Any]]:
        """``value`` and ``uncertainty`` of each term, a kelvin, as a record holds them."""
        return {
            item.name: {
                "value": getattr(self.slope, item.name).tolist(),
                "uncertainty": getattr(self.uncertainty, item.name).tolist(),
            }
            for item in fields(Model)
        }

    @classmethod
    def from_values(cls, values: dict[str, dict[str, Any]]) -> Thermal:
        """Read what :meth:`to_values` made."""
        parts = (
            Model(*(np.array(values[item.name][part], dtype=float) for item in fields(Model)))
            for part in ("value", "uncertainty")
        )
        return cls(*parts)


def find_thermal(points: Sequence[Point]) -> Thermal | None:
    """Coefficients from calibrations of one board; None if their temperatures are less than :data:`SPAN` apart.

    All values get the same line through the same points, so that what is fixed by a gauge stays so, and errors of a fit
    that make up for each other go on doing it.
    """
    temperatures = np.array([point.temperature for point in points])
    if len(points) < 2 or np.ptp(temperatures) < SPAN:
        return None
    off = temperatures - temperatures.mean()
    share = off / np.sum(off**2)
    slope, sure = {}, {}
    for item in fields(Model):
        name = item.name
        slope[name] = sum(part * getattr(point.model, name) for part, point in zip(share, points, strict=True))
        squares = ((part * getattr(point.uncertainty, name)) ** 2 for part, point in zip(share, points, strict=True))
        sure[name] = np.sqrt(sum(squares))
    return Thermal(Model(**slope), Model(**sure))
