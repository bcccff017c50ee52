"""How many units clear a threshold: closed forms, and by simulation as often as is said."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.statistics import ANYTHING, CORRELATION, POSITIVE, SHARE, Interval, interval, student_t, units_to_clear
from thalweg.statistics.means import mean_ends


@pytest.mark.parametrize(
    ("low", "estimate", "high", "units"),
    [(0.4, 0.6, 0.8, 40_000), (0.2, 0.4, 0.6, 40_000), (0.3, 0.6, 0.8, 90_000), (0.6, 0.7, 0.8, None)],
)
def test_many_units_follow_the_root_law(low: float, estimate: float, high: float, units: int | None) -> None:
    found = units_to_clear(Interval(estimate, low, high, 10_000, "planted"), 0.5)
    assert found == (None if units is None else pytest.approx(units, rel=1e-3))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_few_units_gain_by_students_t_as_well(n: int) -> None:
    reach = student_t.reach(n, 0.98 if n < 4 else 0.95) / math.sqrt(n)
    found = units_to_clear(Interval(0.8, 0.8 - reach, 0.8 + reach, n, "unit scatter"), 0.0)
    widths = {units: student_t.reach(units) / math.sqrt(units) for units in range(4, 20)}
    assert found == (None if reach < 0.8 else next(units for units, width in widths.items() if width <= 0.8))


def test_bounds_are_infinitely_far_away() -> None:
    factor = math.exp(0.2)
    ratio = Interval(1.0, 1 / factor**2, factor**2, 10_000, "twice too wide")
    assert units_to_clear(ratio, factor, bounds=POSITIVE) == pytest.approx(40_000, rel=1e-3)
    assert units_to_clear(ratio, 1 / factor, bounds=POSITIVE) == pytest.approx(40_000, rel=1e-3)
    rank = Interval(0.0, math.tanh(-1.0), math.tanh(1.0), 10_000, "twice too wide")
    assert units_to_clear(rank, math.tanh(0.5), bounds=CORRELATION) == pytest.approx(40_000, rel=1e-3)
    below = Interval(-1.0, -(factor**2), -1 / factor**2, 10_000, "twice too wide")
    assert units_to_clear(below, -factor, bounds=(-math.inf, 0.0)) == pytest.approx(40_000, rel=1e-3)


@pytest.mark.parametrize(("share", "cut"), [(1.0, 0.9), (0.8, 0.5), (0.0, 0.1), (0.4, 0.7)])
def test_a_proportion_is_asked_at_the_same_share(share: float, cut: float) -> None:
    hits = round(5 * share)
    found = interval.fraction([1.0] * hits + [0.0] * (5 - hits))
    needed = units_to_clear(found, cut, bounds=SHARE)
    assert needed is not None
    side, clears = ("low", np.greater) if share > cut else ("high", np.less)
    for units, expected in ((needed, True), (needed - 5, False), (needed + 5, True)):
        ends = stats.binomtest(round(units * share), units).proportion_ci()
        if units > 5 and float(units * share).is_integer():
            assert clears(getattr(ends, side), cut) == expected
    signs = interval.bounded([1.0] * hits + [-1.0] * (5 - hits), -1, 1)
    assert units_to_clear(signs, 2 * cut - 1, bounds=CORRELATION) == needed


def test_of_units_that_all_agree_it_is_the_closed_form() -> None:
    needed = math.ceil(math.log(0.025) / math.log(0.9))
    for found in (interval.fraction([1.0] * 5), interval.mean([1.0] * 5, bounds=SHARE)):
        assert units_to_clear(found, 0.9, bounds=SHARE) == needed


@pytest.mark.parametrize(
    "found",
    [
        Interval(0.5, 0.3, 0.7, 10, "on the threshold"),
        Interval(0.5 + 1e-12, 0.3, 0.7, 10, "on the threshold but for rounding"),
        Interval(0.5, 0.5, 0.5, 10, "exact"),
        Interval(0.7, -math.inf, 0.9, 5, "open"),
        Interval(0.2, 0.1, math.inf, 5, "open"),
        Interval(0.6, 0.0, 0.9, 5, "open to the bound"),
        Interval(0.7, 0.6, 0.8, 5, "cleared"),
        interval.mean([0.5]),
        interval.fraction([1.0, 0.0]),
        Interval.missing("not run"),
        Interval(0.0, -1.0, 1.0, 0, "of nothing"),
    ],
)
def test_there_may_be_no_such_number(found: Interval) -> None:
    bounds = POSITIVE if found.method == "open to the bound" else SHARE if found.proportion else ANYTHING
    assert units_to_clear(found, 0.5, bounds=bounds) is None


def test_an_open_end_does_not_hinder_the_other_one() -> None:
    assert units_to_clear(Interval(1.2, 0.9, math.inf, 5_000, ""), 1.0) == pytest.approx(11_250, rel=1e-3)


@pytest.mark.parametrize(("n", "truth"), [(3, 1.2), (8, 0.45), (20, 0.3)])
def test_so_many_seeds_decide_in_about_half_of_all_repeats(n: int, truth: float) -> None:
    """The truth is at the estimate, and values are as scattered as the interval says."""
    reach = student_t.reach(n, 0.98 if n < 4 else 0.95) / math.sqrt(n)
    needed = units_to_clear(Interval(truth, truth - reach, truth + reach, n, ""), 0.0)
    assert needed is not None
    draw = np.random.default_rng(0)
    shares = {}
    for units in (n, needed, 2 * needed):
        low, _ = mean_ends(truth + draw.normal(size=(400, units)), 999)
        shares[units] = float(np.mean(low > 0))
    assert shares[n] < 0.3 < shares[needed] < 0.65
    assert shares[2 * needed] > 0.7


@pytest.mark.parametrize(("share", "cut"), [(0.8, 0.5), (0.3, 0.6)])
def test_so_many_units_decide_a_proportion_in_about_half_of_all_repeats(share: float, cut: float) -> None:
    five = interval.fraction([1.0] * round(10 * share) + [0.0] * round(10 - 10 * share))
    needed = units_to_clear(five, cut, bounds=SHARE)
    assert needed is not None
    hits = np.random.default_rng(0).binomial(needed, share, 400)
    ends = [stats.binomtest(int(of), needed).proportion_ci() for of in hits]
    assert 0.3 < np.mean([end.low > cut if share > cut else end.high < cut for end in ends]) < 0.7
