"""What the checks of a self-test work with, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...drivers.gateware import GatewareDevice
from ...drivers.session import Session
from ...substrate.geometry import Geometry

__all__ = ["Bench", "Check", "Fault", "Progress", "Report"]

Progress = Callable[[str, int, int], None]
"""Called with the check under way, and how many of how many of its steps are done."""


class Fault(Exception):
    """Something on the device is wrong; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Check:
    """What came of a check.

    Attributes
    ----------
    name
        What was checked.
    ok
        Whether it is right; None if it was not made, as the link was gone.
    found
        What was found: numbers if all is well, else the first bad thing.
    """

    name: str
    ok: bool | None
    found: str


@dataclass
class Report:
    """What came of a self-test.

    Attributes
    ----------
    address
        Address of the device.
    build, board
        Its build id and board id; empty if it gave none.
    geometry
        Its sizes, by name.
    checks
        In the order in which they were made.
    """

    address: str
    build: str = ""
    board: str = ""
    geometry: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every check was made and passed."""
        return all(check.ok for check in self.checks)

    @property
    def first_failure(self) -> Check | None:
        """The first check that was not passed."""
        return next((check for check in self.checks if not check.ok), None)

    def values(self) -> dict[str, Any]:
        """The report in plain values, for JSON."""
        checks = [{"name": check.name, "ok": check.ok, "found": check.found} for check in self.checks]
        return {
            "address": self.address,
            "ok": self.ok,
            "build": self.build,
            "board": self.board,
            "geometry": self.geometry,
            "checks": checks,
        }


class Bench:
    """A device under test.

    Parameters
    ----------
    device
        The device.
    seed
        Of all patterns, weights and samples.
    progress
        Told how far a check is.

    Attributes
    ----------
    device, session, geometry, seed
        The device, its session, its sizes, and the seed.
    """

    def __init__(self, device: GatewareDevice, seed: int, progress: Progress) -> None:
        self.device = device
        self.session: Session = device.session
        self.geometry: Geometry = device.session.hello.geometry
        self.seed = seed
        self._progress = progress
        self._name, self._done, self._total = "", 0, 1

    @contextmanager
    def steps(self, name: str) -> Iterator[None]:
        """Count the steps of the check ``name``."""
        self._name, self._done, self._total = name, 0, 1
        self._progress(name, 0, 1)
        yield
        self._progress(name, self._total, self._total)

    def plan(self, total: int) -> None:
        """Say how many steps the check has."""
        self._total = max(1, total)
        self._progress(self._name, 0, self._total)

    def step(self) -> None:
        """Note that a step is done."""
        self._done += 1
        self._progress(self._name, self._done, self._total)
