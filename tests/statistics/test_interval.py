import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thalweg.errors import UsageError
from thalweg.statistics import interval
from thalweg.statistics.bootstrap import studentized_reaches
from thalweg.statistics.interval import Interval


def test_five_values_below_1_of_which_four_nearly_agree_have_no_end_hundreds_away():
    values = [0.844, 0.8441, 0.8442, 0.8443, 0.81]
    low, _ = studentized_reaches(np.array([values]))
    assert np.mean(values) - low[0] * stats.sem(values) < 0.5  # what the bootstrap alone says
    t = stats.t.ppf(0.975, 4) * stats.sem(values)
    for bounds in (interval.ANYTHING, interval.POSITIVE, (-np.inf, 1.0), interval.SHARE):
        found = interval.mean(values, bounds=bounds)
        assert np.mean(values) - 2.5 * t < found.low <= np.mean(values) - 0.9 * t


def test_with_many_values_it_is_students_interval():
    sample = np.random.default_rng(0).normal(5, 1, 400)
    found = interval.mean(sample)
    low, high = stats.t.interval(0.95, 399, sample.mean(), stats.sem(sample))
    assert found.estimate == pytest.approx(sample.mean(), abs=1e-12)
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


@given(
    st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1 - 1e-16])), min_size=2, max_size=9),
    st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, np.inf), (-np.inf, 1.0), (0.0, 1e9)]),
)
def test_no_end_is_beyond_the_bounds(values, bounds):
    found = interval.mean(values, bounds=bounds, resamples=199)
    if found.known:
        assert bounds[0] <= found.low <= found.estimate <= found.high <= bounds[1]
    else:  # of one-sided bounds, where values agree
        assert np.ptp(values) <= 1e-6
        assert not all(map(math.isfinite, bounds))


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=6))
def test_bounds_do_not_care_about_units_nor_which_side_is_up(values):
    found = interval.mean(values, bounds=(-10, 10), resamples=199)
    other = interval.mean(3 - 0.1 * np.array(values), bounds=(2, 4), resamples=199)
    turned = (3 - 0.1 * found.high, 3 - 0.1 * found.low)
    assert turned == pytest.approx((other.low, other.high), abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_values_that_all_agree_between_bounds_leave_the_doubt_of_the_worst_case(n):
    for value in (0.0, 0.7, 1.0):
        found, worst = interval.mean([value] * n, bounds=(0, 1)), interval.fraction([value] * n)
        assert (found.low, found.high) == pytest.approx((worst.low, worst.high), abs=0.01)
    assert not interval.mean([0.7] * n, bounds=(0, np.inf)).known


@pytest.mark.parametrize("value", [1.0, 0.97, 0.5])
def test_between_bounds_no_end_is_farther_out_than_in_the_worst_case_and_none_jumps(value):
    """The odds of values at a bound reached below what holds for every law: [0.04, 1.00] for 1, 1, 1, 1, 0.7."""
    others = value - np.r_[2e-6, np.geomspace(1e-5, value, 60)]
    found = [interval.mean([value] * 4 + [other], bounds=(0, 1)) for other in others]
    worst = [interval.bounded([value] * 4 + [other], 0, 1, draws=9_999) for other in others]
    lows = np.array([one.low for one in found])
    assert (lows >= np.array([one.low for one in worst]) - 1e-9).all()
    assert all(one.high <= other.high + 1e-9 for one, other in zip(found, worst, strict=True))
    assert (np.diff(lows) <= 1e-9).all()  # the lower a value, the lower the end
    step = np.abs(np.diff(np.log(value - others)))
    assert np.abs(np.diff(lows)).max() < 2 * step.max()
    assert lows[-1] < lows[0]


def test_a_difference_within_rounding_is_none():
    for bounds in (interval.SHARE, interval.CORRELATION):
        agreed, nearly = (interval.mean([0.97, 0.97, last], bounds=bounds) for last in (0.97, 0.97 + 1e-9))
        assert (nearly.low, nearly.high) == pytest.approx((agreed.low, agreed.high), abs=1e-6)
    assert not interval.mean([0.97, 0.97, 0.97 + 1e-9]).known


@pytest.mark.parametrize(
    "found",
    [
        lambda: interval.mean([0.01, 0.01]),
        lambda: interval.mean([0.0] * 5, bounds=interval.POSITIVE),
        lambda: interval.difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]),
        lambda: interval.ratio([2.0, 4.0, 6.6], [1.0, 2.0, 3.3]),
        lambda: interval.ratio([0.1 + 0.2, 0.6], [0.3, 0.2 + 0.4]),  # 1 but for rounding
        lambda: interval.geometric_mean([2.0, 2.0]),
        lambda: interval.crossed([[1.0, 1.0], [1.0, 1.0]]),
        lambda: interval.crossed([[0.0, 1.0], [1.0, 0.0]]),  # neither rows nor columns differ
        lambda: interval.ratio_of_times([50.0, 50.0], [math.inf, math.inf], 100.0),
    ],
)
def test_values_that_all_agree_say_nothing_of_how_much_they_vary(found):
    one = found()
    assert math.isfinite(one.estimate)
    assert not one.known
    assert "agree" in one.method


def test_a_verdict_reproduces():
    values = [0.3, 0.1, 0.7, 0.2, 0.9, 0.5, 0.6, 0.5]
    assert interval.mean(values) == interval.mean(values)
    assert interval.mean(values) != interval.mean(values, seed=1)


def test_one_value_has_no_interval():
    for bounds in (interval.ANYTHING, interval.SHARE):
        one = interval.mean([0.5], bounds=bounds)
        assert (one.estimate, one.n, one.known) == (0.5, 1, False)
        assert math.isnan(one.low)
        assert math.isnan(one.high)
        assert str(one) == "0.5 (no interval)"
        assert f"{one:.2f}" == "0.50 (no interval)"
    assert str(interval.fraction([1.0])) == "1 (no interval)"
    assert str(interval.bounded([0.9], 0, 1)) == "0.9 (no interval)"
    assert not interval.difference([1.0], [2.0]).known
    assert not interval.ratio([1.0], [2.0]).known
    assert not interval.ratio_of_times([1.0], [math.inf], 2.0).known


def test_ends_open_where_there_are_any():
    found = Interval(1.0, 0.5, 2.0, 5, "made up")
    assert (found.opened(low=0).low, found.opened(low=0).high, found.opened(high=math.inf).high) == (0, 2.0, math.inf)
    assert not Interval(1.0, math.nan, math.nan, 1, "").opened(low=0).known


def test_tied_values_still_give_a_finite_interval():
    found = interval.mean([1.0, 1.0, 1.0, 1.0, 2.0])
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)
    assert found.low < 1.2 < found.high


def test_a_value_that_is_not_finite_makes_all_not_a_number():
    for bad in (math.nan, math.inf):
        values = [0.1, 0.2, bad, 0.3, 0.4]
        for found in (
            interval.mean(values),
            interval.mean(values, bounds=interval.SHARE),
            interval.difference(values, [0.0] * 5),
            interval.geometric_mean(values),
            interval.fraction(values),
            interval.bounded(values, -1, 1),
            interval.crossed([values, values]),
        ):
            assert all(math.isnan(end) for end in (found.estimate, found.low, found.high))


def test_pairing_removes_what_seeds_share():
    generator = np.random.default_rng(0)
    shared, noise = generator.normal(0, 10, 8), generator.normal(0, 0.1, (2, 8))
    paired = interval.difference(shared + 1 + noise[0], shared + noise[1])
    difference = interval.mean(1 + noise[0] - noise[1])
    assert (paired.low, paired.high) == pytest.approx((difference.low, difference.high))
    assert paired.high - paired.low < 1
    assert paired.method.startswith("paired difference")


def test_ratios_are_invariant_to_units_and_invert():
    a, b = np.random.default_rng(1).lognormal(size=(2, 7))
    found, scaled, inverse = interval.ratio(a, b), interval.ratio(100 * a, 100 * b), interval.ratio(b, a)
    assert (scaled.low, scaled.high) == pytest.approx((found.low, found.high), rel=1e-9)
    assert (1 / inverse.high, 1 / inverse.low) == pytest.approx((found.low, found.high), rel=0.02)
    assert found.estimate == pytest.approx(stats.gmean(a / b))


@pytest.mark.parametrize(("successes", "trials"), [(0, 6), (3, 6), (6, 6), (7, 9), (1, 2)])
def test_fractions_that_are_0_or_1_get_the_interval_of_clopper_and_pearson(successes, trials):
    found = interval.fraction(np.arange(trials) < successes)
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert found.estimate == successes / trials
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_fractions_that_nearly_agree_get_nearly_the_interval_of_those_that_agree():
    agreed = interval.fraction(np.ones(8))
    nearly = interval.fraction(np.r_[np.ones(7), 0.95])
    assert nearly.low == pytest.approx(agreed.low, abs=0.01)
    assert agreed.high == 1.0
    assert 0.99 < nearly.high < 1.0


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (4, 4), (2, 1), (1.8, 0.2), (9, 1)])
@pytest.mark.parametrize("n", [5, 12])
def test_the_mean_of_fractions_is_covered_at_95_percent_also_where_it_is_near_1(a, b, n):
    # Shares of twenty wins whose chances differ by unit: what the bootstrap covers only 75 % of at n = 5 near 1.
    generator = np.random.default_rng(2)
    sets = 400
    values = generator.binomial(20, generator.beta(a, b, (sets, n))) / 20
    found = [interval.fraction(row, draws=999) for row in values]
    share = np.mean([one.low <= a / (a + b) <= one.high for one in found])
    assert (share - 0.95) / math.sqrt(0.95 * 0.05 / sets) > stats.norm.ppf(0.001)


def test_fractions_that_vary_less_are_known_better():
    wide, narrow = interval.fraction([0.0, 1.0] * 6), interval.fraction([0.45, 0.55] * 6)
    assert wide.estimate == narrow.estimate == pytest.approx(0.5)
    assert narrow.high - narrow.low < 0.7 * (wide.high - wide.low)


@pytest.mark.parametrize("spread", [(1, 0, 0.1), (0, 1, 0.1), (1, 1, 1), (0, 0, 1)])
def test_a_crossed_mean_is_covered_whichever_factor_varies(spread):
    generator = np.random.default_rng(4)
    rows, columns, cells = spread
    covered = []
    for _ in range(1_000):
        table = rows * generator.normal(size=(8, 1)) + columns * generator.normal(size=20)
        found = interval.crossed(table + cells * generator.normal(size=(8, 20)), resamples=199)
        covered.append(found.low <= 0 <= found.high)
    assert (np.mean(covered) - 0.95) / math.sqrt(0.95 * 0.05 / 1_000) > stats.norm.ppf(0.001)


def test_a_crossed_mean_of_columns_alike_is_the_mean_over_rows():
    of_row = np.random.default_rng(0).exponential(size=6)
    wide, tall = np.repeat(of_row[:, None], 50, axis=1), np.repeat(of_row[None], 50, axis=0)
    mean = interval.mean(of_row)
    for table in (wide, tall):
        found = interval.crossed(table)
        assert (found.low, found.high, found.n) == (pytest.approx(mean.low), pytest.approx(mean.high), 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval.mean([]), "one value a seed"),
        (lambda: interval.mean([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: interval.difference([1, 2], [1, 2, 3]), "2 and 3"),
        (lambda: interval.ratio([1, 2], [0, 1]), "positive"),
        (lambda: interval.fraction([0.5, 1.5]), "0.5 to 1.5"),
        (lambda: interval.crossed([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: interval.fraction([1.5]), "from 0 to 1"),
        (lambda: interval.mean(["a"]), r"mean needs numbers, one a seed, such as .*; got \['a'\]"),
        (lambda: interval.crossed([[1.0, 2.0], [3.0]]), "crossed needs numbers"),
        (lambda: interval.mean([1, 2, 3, 4], resamples=5), "at least resamples=39, .* got resamples=5"),
        (lambda: interval.ratio([1, 2], [3, 4], resamples=0), "got resamples=0"),
        (lambda: interval.crossed([[1.0, 2.0], [3.0, 5.0]], resamples=2), "got resamples=2"),
        (lambda: interval.fraction([0.5, 1.0], draws=3), "at least draws=39"),
        (lambda: interval.mean([0.5, 1.5], bounds=(0, 1)), "mean with the bounds 0 to 1 needs .* got 0.5 to 1.5"),
        (lambda: interval.mean([0.5], bounds=(1, 0)), r"bounds \(low, high\) with low < high, such as \(0, 1\)"),
        (lambda: interval.mean([0.5], bounds=0), "mean needs bounds"),
        (lambda: Interval(1, 3, 2, 1, ""), "low <= high"),
    ],
)
def test_impossible_requests_say_what_was_got(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_times_that_were_never_reached_leave_open_what_they_may_move():
    first, second = [100.0, 90.0, 110.0, 95.0, 105.0], [50.0, 46.0, 53.0, 48.0, 51.0]
    whole = interval.ratio(first, second)
    assert interval.ratio_of_times(first, second, 200) == whole
    late = interval.ratio_of_times(first, [*second[:4], np.inf], 120)
    assert late.low == 0
    assert late.estimate == pytest.approx(interval.ratio(first, [*second[:4], 120]).estimate)
    assert np.isfinite(late.high)
    never = interval.ratio_of_times([*first[:4], np.inf], second, 120)
    assert never.high == np.inf
    assert never.low > 1
    with pytest.raises(UsageError, match="within the limit"):
        interval.ratio_of_times(first, second, 104)


def test_the_fewest_draws_give_ends():
    assert interval.mean([1.0, 2.0, 3.0, 5.0], resamples=39).known
    assert interval.fraction([0.5, 1.0], draws=39).known


def test_an_interval_is_written_in_a_format():
    found = Interval(0.5, -0.25, 1.123456, 5, "planted")
    assert f"{found:.2f}" == "0.50 [-0.25, 1.12]"
    assert f"{found}" == str(found) == "0.5 [-0.25, 1.123]"


def test_a_geometric_mean_is_the_mean_of_logarithms():
    values = np.array([1.0, 4.0, 16.0, 3.0, 7.0, 2.0])
    found, logs = interval.geometric_mean(values), interval.mean(np.log(values))
    assert np.log([found.estimate, found.low, found.high]) == pytest.approx([logs.estimate, logs.low, logs.high])
    assert found.method.startswith("geometric mean over seeds")
    with pytest.raises(UsageError, match="positive"):
        interval.geometric_mean([1.0, 0.0])


def test_what_rounding_left_is_shown_as_zero() -> None:
    found = Interval(2e-15, -2.4, 1.2, 5, "made up")
    assert str(found) == "0 [-2.4, 1.2]"
    assert str(Interval(2e-15, -1e-14, 3e-14, 5, "small itself")) == "2e-15 [-1e-14, 3e-14]"
    assert str(Interval(3.0, 1e-12, 50.0, 5, "above 0")) == "3 [1e-12, 50]"
    assert str(Interval(1e-15, -math.inf, math.inf, 5, "unbounded")) == "1e-15 [-inf, inf]"
    assert str(Interval(math.nan, math.nan, math.nan, 0, "not run at this scale")) == "none"
