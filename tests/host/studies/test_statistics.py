"""Intervals and verdicts: against known laws, and with too few data."""

from math import inf, nan

import numpy as np
import pytest

from equipoise.host.studies.statistics import Interval, bootstrap, combine, mean, share, slope
from equipoise.host.studies.study import Verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.95, 2.05, "held"),
        (1.85, 1.95, "undecided"),
        (1.5, 1.8, "broken"),
        (2.2, 2.4, "broken"),
        (1.5, 2.5, "undecided"),
        (-inf, inf, "undecided"),
        (nan, nan, "undecided"),
    ],
)
def test_a_verdict_rests_on_the_whole_interval(low, high, verdict):
    assert Interval(2.0, low, high, 5).within(1.9, 2.1) == verdict


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    found = [mean(rng.normal(3, 2, 6)) for _ in range(1000)]
    assert np.mean([each.low <= 3 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)
    x = np.arange(6.0)
    found = [slope(x, 2 * x + rng.normal(0, 1, 6)) for _ in range(1000)]
    assert np.mean([each.low <= 2 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_a_median_by_bootstrap():
    found = bootstrap(np.random.default_rng(2).exponential(1, 200))
    assert found.low < np.log(2) < found.high
    assert found.high - found.low < 0.5


def test_a_share_that_was_never_seen_is_not_excluded():
    never = share(0, 10)
    assert (never.value, never.low) == (0, 0)
    assert never.high == pytest.approx(1 - 0.025**0.1)


@pytest.mark.parametrize(
    "found", [mean([]), mean([2.0]), slope([1, 2], [2, 4]), slope([1], [2]), bootstrap([2.0, 2.1])]
)
def test_too_few_data_decide_nothing(found):
    assert found.within(1.9, 2.1) is Verdict.UNDECIDED
    assert "too few" in str(found) or str(found) == "nothing"


def test_data_without_spread_are_certain():
    assert mean([2.0, 2.0, 2.0]).within(2.0, 2.0) is Verdict.HELD
    assert bootstrap([2.0] * 4).within(2.0, 2.0) is Verdict.HELD
    assert slope([1, 2, 3], [2, 4, 6]).within(1.999, 2.001) is Verdict.HELD


def test_several_verdicts():
    held, broken, undecided = Verdict.HELD, Verdict.BROKEN, Verdict.UNDECIDED
    assert combine([held, undecided, broken]) is broken
    assert combine([held, undecided]) is undecided
    assert combine([held, held]) is held
    assert combine([]) is undecided


def test_words():
    assert [verdict.words for verdict in Verdict] == ["held", "did not hold", "not enough data"]
    assert mean([1.0, 1.1, 1.2]).show(".2f") == "1.10 (95 % confidence: 0.85 to 1.35, n = 3)"
