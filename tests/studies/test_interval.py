import math

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import UsageError
from thalweg.studies import interval
from thalweg.studies.bootstrap import mean_bounds
from thalweg.studies.interval import Interval

SETS = 4_000


def coverage(samples, truth, **options):
    low, high = mean_bounds(samples, 999, **options)
    return float(((low <= truth) & (truth <= high)).mean())


def too_low(share, level=0.95):
    """Whether a share of SETS is below the level by more than chance explains (one-sided z-test, p = 0.001)."""
    return (share - level) / math.sqrt(level * (1 - level) / SETS) < stats.norm.ppf(0.001)


@pytest.mark.parametrize("n", [5, 10])
def test_the_mean_of_normal_values_is_covered_at_95_percent(n):
    samples = np.random.default_rng(7).normal(3.0, 2.0, (SETS, n))
    assert not too_low(coverage(samples, 3.0))


@pytest.mark.parametrize("n", [5, 10])
def test_skewed_values_are_covered_better_than_by_student_though_below_95_percent(n):
    samples = np.random.default_rng(8).exponential(1.0, (SETS, n))
    share = coverage(samples, 1.0)
    half = stats.t.ppf(0.975, n - 1) * samples.std(1, ddof=1) / math.sqrt(n)
    student = float((np.abs(samples.mean(1) - 1.0) <= half).mean())
    # Measured: 0.93 at n = 5 and 0.94 at n = 10, against Student's 0.88 and 0.90.
    assert share > student + 0.02
    assert not too_low(share, 0.92)


def test_with_many_values_it_is_students_interval():
    sample = np.random.default_rng(0).normal(5, 1, 400)
    found = interval.mean(sample)
    low, high = stats.t.interval(0.95, 399, sample.mean(), stats.sem(sample))
    assert found.estimate == pytest.approx(sample.mean(), abs=1e-12)
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


def test_all_data_sets_at_once_equal_a_loop_over_resamples():
    sample = np.random.default_rng(3).exponential(size=6)
    low, high = mean_bounds(sample[None], 399, seed=4)
    draws = np.random.default_rng(4).multinomial(6, np.full(6, 1 / 6), size=399)
    ratios = []
    for row in draws:
        again = np.repeat(sample, row)
        shift, error = again.mean() - sample.mean(), again.std(ddof=1) / math.sqrt(6)
        ratios.append(shift / error if error > 1e-12 else math.copysign(math.inf, shift))
    ratios = np.sort(ratios)
    tail, error = 10, sample.std(ddof=1) / math.sqrt(6)
    assert high[0] == pytest.approx(sample.mean() - ratios[tail - 1] * error, rel=1e-9)
    assert low[0] == pytest.approx(sample.mean() - ratios[-tail] * error, rel=1e-9)


def test_a_verdict_reproduces():
    values = [0.3, 0.1, 0.7, 0.2, 0.9]
    assert interval.mean(values) == interval.mean(values)
    assert interval.mean(values) != interval.mean(values, seed=1)


def test_few_values_get_students_t_and_one_value_bounds_nothing():
    two = interval.mean([1.0, 2.0])
    low, high = stats.t.interval(0.95, 1, 1.5, stats.sem([1.0, 2.0]))
    assert (two.low, two.high) == pytest.approx((low, high))
    assert "Student" in two.method
    one = interval.mean([3.0])
    assert (one.estimate, one.low, one.high, one.n) == (3.0, -math.inf, math.inf, 1)


def test_tied_values_still_give_a_finite_interval():
    found = interval.mean([1.0, 1.0, 1.0, 1.0, 2.0])
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)
    assert found.low < 1.2 < found.high
    same = interval.mean([2.0] * 5)
    assert (same.low, same.high) == (2.0, 2.0)


def test_a_value_that_is_not_finite_makes_all_not_a_number():
    for bad in (math.nan, math.inf):
        found = interval.mean([1.0, 2.0, bad, 3.0, 4.0])
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
    for function in (interval.ratio, interval.ratio_of_means):
        found, scaled, inverse = function(a, b), function(100 * a, 100 * b), function(b, a)
        assert (scaled.low, scaled.high) == pytest.approx((found.low, found.high), rel=1e-9)
        assert (1 / inverse.high, 1 / inverse.low) == pytest.approx((found.low, found.high), rel=0.02)
    assert interval.ratio(a, b).estimate == pytest.approx(stats.gmean(a / b))
    assert interval.ratio_of_means(a, b).estimate == pytest.approx(a.mean() / b.mean())


def test_ratio_of_means_agrees_with_fieller_for_many_values():
    # Fieller's exact interval for the ratio of two normal means, correlated by pairing.
    generator = np.random.default_rng(5)
    b = generator.normal(10, 1, 300)
    a = 0.5 * b + generator.normal(10, 1, 300)
    found = interval.ratio_of_means(a, b)
    t = stats.t.ppf(0.975, 299)
    covariance = np.cov(a, b) / 300
    quadratic = b.mean() ** 2 - t**2 * covariance[1, 1]
    linear = a.mean() * b.mean() - t**2 * covariance[0, 1]
    constant = a.mean() ** 2 - t**2 * covariance[0, 0]
    root = math.sqrt(linear**2 - quadratic * constant)
    low, high = (linear - root) / quadratic, (linear + root) / quadratic
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize("trials", [5, 12])
def test_a_proportion_is_never_covered_less_than_95_percent(trials):
    # Exact coverage over a grid of true proportions: the sum of the probabilities of the counts that cover it.
    intervals = [interval.proportion(k, trials) for k in range(trials + 1)]
    for p in np.linspace(0.005, 0.995, 199):
        chance = stats.binom.pmf(np.arange(trials + 1), trials, p)
        covered = sum(c for c, i in zip(chance, intervals, strict=True) if i.low <= p <= i.high)
        assert covered >= 0.95 - 1e-12


def test_proportion_agrees_with_scipy():
    found = interval.proportion(7, 9)
    expected = stats.binomtest(7, 9).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_wins_counts_problems_not_cells():
    # Ten problems, each won with all seeds or with none: as much evidence as ten trials, not fifty.
    table = np.repeat([[1.0], [0.0]], 5, axis=0) * np.ones((10, 5))
    found = interval.wins(table)
    assert found.estimate == 0.5
    ten = interval.proportion(5, 10)
    fifty = interval.proportion(25, 50)
    assert found.high - found.low == pytest.approx(ten.high - ten.low, rel=0.15)
    assert found.high - found.low > 1.5 * (fifty.high - fifty.low)


def test_wins_covers_the_fraction_of_other_problems():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        chances = generator.beta(2, 1, 12)
        found = interval.wins(generator.random((12, 5)) < chances[:, None], resamples=499)
        covered += found.low <= 2 / 3 <= found.high
    share = covered / 300
    assert (share - 0.95) / math.sqrt(0.95 * 0.05 / 300) > stats.norm.ppf(0.001)


def test_unanimous_wins_are_not_certainty():
    found = interval.wins(np.ones((6, 5)))
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 6))
    assert interval.wins(np.zeros((6, 5))).high == pytest.approx(1 - 0.025 ** (1 / 6))


def test_a_statistic_of_paired_rows_agrees_with_scipy():
    generator = np.random.default_rng(6)
    x = generator.normal(size=40)
    y = x + generator.normal(size=40)
    found = interval.statistic(lambda a, b: np.corrcoef(a, b)[0, 1], x, y)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert found.estimate == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.06)


def test_a_statistic_without_spread_or_definition_does_not_pretend():
    constant = interval.statistic(np.median, np.full(6, 2.0))
    assert (constant.low, constant.high) == (2.0, 2.0)
    undefined = interval.statistic(lambda x: math.nan, np.arange(6.0))
    assert math.isnan(undefined.low)


def test_exact_is_a_bound_not_a_sample():
    assert interval.exact(2.0, 0.1) == Interval(2.0, 1.9, 2.1, 1, "exact")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval.mean([]), "one value a seed"),
        (lambda: interval.mean([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: interval.difference([1, 2], [1, 2, 3]), "2 and 3"),
        (lambda: interval.ratio([1, 2], [0, 1]), "positive"),
        (lambda: interval.proportion(3, 2), "3 of 2"),
        (lambda: interval.wins([1, 0]), r"\(problems, seeds\)"),
        (lambda: interval.exact(1, -1), "error >= 0"),
        (lambda: Interval(1, 3, 2, 1, ""), "low <= high"),
    ],
)
def test_impossible_requests_say_what_was_got(call, words):
    with pytest.raises(UsageError, match=words):
        call()
