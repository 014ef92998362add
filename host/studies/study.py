"""What a study is: a question, put to a device, and answered by claims with numbers.

A study is a function of a :class:`Setting`. Whatever it measures goes through :meth:`Setting.measure`, so that an
interrupted study goes on where it was; everything else in it should be quick, for it is done anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from matplotlib.figure import Figure

from ...substrate.interface import Substrate
from ..jsonable import plain
from .journal import Journal

__all__ = ["Claim", "Findings", "Progress", "Setting", "Study", "Verdict", "summary"]


class Verdict(StrEnum):
    """Whether a claim held."""

    HELD = "held"
    BROKEN = "broken"
    UNDECIDED = "undecided"

    @property
    def words(self) -> str:
        """For people."""
        return {"held": "held", "broken": "did not hold", "undecided": "not enough data"}[self.value]


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that was claimed, and what came out.

    Attributes
    ----------
    name
        Short and unique within its study.
    expected, measured
        A phrase each, with numbers, units and confidence intervals.
    verdict
        Whether it held.
    numbers
        What the verdict rests on, for machines.
    """

    name: str
    expected: str
    measured: str
    verdict: Verdict
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """What came out of a study.

    Attributes
    ----------
    claims
        At least one.
    numbers
        Everything that was measured, as far as JSON holds it.
    figures
        By name, which becomes the name of their files.
    text
        One paragraph: what was expected, what was measured, and whether it held.
    """

    claims: list[Claim]
    numbers: dict[str, Any]
    figures: dict[str, Figure]
    text: str

    @property
    def verdict(self) -> Verdict:
        """Broken if a claim is, else undecided if one is."""
        verdicts = {claim.verdict for claim in self.claims}
        return next((verdict for verdict in (Verdict.BROKEN, Verdict.UNDECIDED) if verdict in verdicts), Verdict.HELD)


def summary(claims: Sequence[Claim]) -> str:
    """The verdicts in words, such as ``Held: direction; length. Not enough data: floor.``"""
    by_verdict = {verdict: [claim.name for claim in claims if claim.verdict is verdict] for verdict in Verdict}
    parts = [f"{verdict.words.capitalize()}: {'; '.join(names)}." for verdict, names in by_verdict.items() if names]
    return " ".join(parts)


class Progress(Protocol):
    """Shows how far a study is."""

    def expect(self, count: int) -> None:
        """There will be so many measurements in all."""

    def advance(self) -> None:
        """One of them is done."""


@dataclass(slots=True)
class Setting:
    """Where and how a study runs.

    Attributes
    ----------
    device
        Opened; a study configures it as it needs.
    address
        By which it was opened.
    reduced
        Whether to measure less, because the device is slow.
    seed
        Of everything random in the study.
    progress
        The bar.
    journal
        What was measured so far.
    """

    device: Substrate
    address: str
    reduced: bool
    seed: int
    progress: Progress
    journal: Journal
    _keys: set[str] = field(default_factory=set)

    def rng(self, *names: str | int) -> np.random.Generator:
        """Random numbers for one purpose: the same for the same seed and names, whatever else has been drawn."""
        return np.random.default_rng([self.seed, *(crc32(str(name).encode()) for name in names)])

    def measure(self, key: str, function: Callable[[], Any]) -> Any:
        """What ``function`` measures, or what it measured under ``key`` before the study was interrupted.

        The answer has been through JSON, even the first time: arrays are lists, and keys are strings.

        Raises
        ------
        ValueError
            If the study has used ``key`` before, or the answer does not fit JSON.
        """
        if key in self._keys:
            raise ValueError(f"A study must measure '{key}' once, not twice")
        self._keys.add(key)
        if key not in self.journal:
            self.journal.add(key, plain(function()))
        self.progress.advance()
        return self.journal[key]


@dataclass(frozen=True, slots=True)
class Study:
    """A study.

    Attributes
    ----------
    name
        As on the command line.
    title
        A line.
    question
        What it asks of the device: a sentence.
    run
        The study itself.
    """

    name: str
    title: str
    question: str
    run: Callable[[Setting], Findings]
