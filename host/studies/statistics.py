"""Statistics of studies, all from scipy.stats: intervals, and the verdict that an interval allows.

A verdict rests on a whole interval, never on its middle alone: a claim holds if the interval lies within what was
claimed, is broken if it lies outside, and otherwise there is not enough data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .study import Verdict

__all__ = ["Interval", "bootstrap", "combine", "mean", "share", "slope"]

LEVEL = 0.95
"""Confidence of all intervals."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    value
        The estimate; nan if there were no data.
    low, high
        Ends of the interval: infinite where the data are too few for one.
    count
        Number of independent values behind it.
    level
        Confidence.
    """

    value: float
    low: float
    high: float
    count: int
    level: float = LEVEL

    def within(self, low: float = -inf, high: float = inf) -> Verdict:
        """Verdict on the claim that the true value is from ``low`` to ``high``."""
        if isnan(self.value) or isnan(self.low) or isnan(self.high):
            return Verdict.UNDECIDED
        if low <= self.low and self.high <= high:
            return Verdict.HELD
        return Verdict.BROKEN if self.low > high or self.high < low else Verdict.UNDECIDED

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def show(self, form: str = ".4g") -> str:
        """For people, such as ``1.98 (95 % confidence: 1.97 to 1.99, n = 8)``."""
        if isnan(self.value):
            return "nothing"
        if self.low == -inf and self.high == inf:
            return f"{self.value:{form}} (n = {self.count}, too few for an interval)"
        span = f"{self.low:{form}} to {self.high:{form}}"
        return f"{self.value:{form}} ({100 * self.level:g} % confidence: {span}, n = {self.count})"

    def __str__(self) -> str:
        return self.show()


def mean(values: ArrayLike) -> Interval:
    """Mean of independent values, with its t interval."""
    data = np.asarray(values, float)
    if len(data) < 2:
        return Interval(float(data.mean()) if len(data) else float("nan"), -inf, inf, len(data))
    middle, error = float(data.mean()), float(stats.sem(data))
    if error == 0:
        return Interval(middle, middle, middle, len(data))
    low, high = stats.t.interval(LEVEL, len(data) - 1, loc=middle, scale=error)
    return Interval(middle, float(low), float(high), len(data))


def bootstrap(values: ArrayLike, statistic: Callable[..., Any] = np.median, seed: int = 0) -> Interval:
    """A statistic of independent values (median, unless told otherwise), with its BCa bootstrap interval.

    ``statistic`` takes the keyword ``axis``.
    """
    data = np.asarray(values, float)
    value = float(statistic(data, axis=0)) if len(data) else float("nan")
    if len(data) < 3:
        return Interval(value, -inf, inf, len(data))
    if np.all(data == data[0]):
        return Interval(value, value, value, len(data))
    found = stats.bootstrap((data,), statistic, confidence_level=LEVEL, rng=np.random.default_rng(seed))
    low, high = found.confidence_interval
    return Interval(value, float(low), float(high), len(data))


def slope(x: ArrayLike, y: ArrayLike) -> Interval:
    """Slope of the straight line through points, with its t interval; of fewer than 3 points there is none."""
    a, b = np.asarray(x, float), np.asarray(y, float)
    if len(a) < 2:
        return Interval(float("nan"), -inf, inf, len(a))
    fit = stats.linregress(a, b)
    if len(a) < 3:
        return Interval(float(fit.slope), -inf, inf, len(a))
    if fit.stderr == 0:
        return Interval(float(fit.slope), float(fit.slope), float(fit.slope), len(a))
    low, high = stats.t.interval(LEVEL, len(a) - 2, loc=fit.slope, scale=fit.stderr)
    return Interval(float(fit.slope), float(low), float(high), len(a))


def share(successes: int, trials: int) -> Interval:
    """Share of independent trials that succeeded, with its exact (Clopper-Pearson) interval."""
    if trials == 0:
        return Interval(float("nan"), 0.0, 1.0, 0)
    low, high = stats.binomtest(successes, trials).proportion_ci(LEVEL, method="exact")
    return Interval(successes / trials, float(low), float(high), trials)


def combine(verdicts: Iterable[Verdict] | Sequence[Verdict]) -> Verdict:
    """Verdict on all of several claims: broken if one is, else undecided if one is or there are none."""
    found = set(verdicts)
    if Verdict.BROKEN in found:
        return Verdict.BROKEN
    return Verdict.HELD if found == {Verdict.HELD} else Verdict.UNDECIDED
