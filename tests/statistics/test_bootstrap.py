"""Ends of many means at once, and standard errors: against one mean at a time, SciPy, and values that are special."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.statistics import ANYTHING, CORRELATION, POSITIVE, SHARE, mean, standard_error, student_t
from thalweg.statistics.bootstrap import counts, studentized_reaches
from thalweg.statistics.bounds import ends_within
from thalweg.statistics.means import mean_ends, reaches


@pytest.mark.parametrize("bounds", [ANYTHING, POSITIVE, (-1.0, 20.0)])
@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_ends_of_many_rows_are_those_of_each_mean(n: int, bounds: tuple[float, float]) -> None:
    samples = np.random.default_rng(n).exponential(size=(6, n))
    samples[0] = samples[0, 0]  # all equal: nothing to resample
    samples[1, 1:] = samples[1, 0] + 1
    low, high = mean_ends(samples, bounds=bounds)
    each = [mean(row, bounds=bounds) for row in samples]
    np.testing.assert_allclose(low, [one.low for one in each], rtol=1e-12)
    np.testing.assert_allclose(high, [one.high for one in each], rtol=1e-12)


def test_one_value_has_no_ends_and_equal_ones_have_none_but_between_bounds() -> None:
    assert np.isnan(mean_ends(np.array([[2.0]]))).all()
    for bounds in (ANYTHING, POSITIVE):
        assert np.isnan(mean_ends(np.full((2, 6), 3.0), bounds=bounds)).all()
    low, high = mean_ends(np.full((1, 6), 1.0), bounds=SHARE)
    assert (low[0], high[0]) == (pytest.approx(0.025 ** (1 / 6)), 1.0)  # Clopper and Pearson's


@pytest.mark.parametrize("n", [4, 5, 6, 9, 30])
def test_ends_reach_as_far_as_the_bootstrap_within_once_and_twice_students_t(n: int) -> None:
    samples = np.random.default_rng(n).lognormal(0, 1, size=(200, n))
    t = stats.t.ppf(0.975, n - 1)
    resampled = studentized_reaches(samples, 999)
    found = reaches(samples, 999)
    for mine, theirs in zip(found, resampled, strict=True):
        np.testing.assert_allclose(mine, np.minimum(np.maximum(theirs, t), 2 * t))
    assert (resampled[1] > 2 * t).any()  # or nothing would be limited


@pytest.mark.parametrize("n", [2, 3])
def test_two_and_three_values_reach_as_students_t_for_98_percent(n: int) -> None:
    samples = np.random.default_rng(n).normal(size=(4, n))
    low, high = mean_ends(samples)
    exact = np.transpose([stats.t.interval(0.98, n - 1, row.mean(), stats.sem(row)) for row in samples])
    np.testing.assert_allclose([low, high], exact)


def test_all_data_sets_at_once_equal_a_loop_over_resamples() -> None:
    sample = np.random.default_rng(3).exponential(size=6)
    (below,), (above,) = studentized_reaches(sample[None], 399, seed=4)
    draws = np.random.default_rng(4).multinomial(6, np.full(6, 1 / 6), size=399)
    ratios = []
    for row in draws:
        again = np.repeat(sample, row)
        shift, error = again.mean() - sample.mean(), again.std(ddof=1) / math.sqrt(6)
        ratios.append(shift / error if error > 1e-12 else math.copysign(math.inf, shift))
    ratios = np.sort(ratios)
    assert -above == pytest.approx(ratios[9], rel=1e-9)
    assert below == pytest.approx(ratios[-10], rel=1e-9)


def test_ends_within_bounds_are_students_on_the_scale_of_odds_or_logarithms() -> None:
    """Derivatives by differences: the delta method, with Fisher's z for -1 to 1."""
    center, error, below, above = np.array([0.8]), np.array([0.07]), np.array([2.0]), np.array([3.0])
    scales = {
        ANYTHING: lambda m: m,
        POSITIVE: np.log,
        (-np.inf, 1.0): lambda m: -np.log(1 - m),
        SHARE: lambda m: np.log(m / (1 - m)),
        CORRELATION: np.arctanh,
    }
    for bounds, scale in scales.items():
        low, high = ends_within(center, error, below, above, bounds)
        step = error * (scale(center + 1e-6) - scale(center - 1e-6)) / 2e-6
        np.testing.assert_allclose(scale(low), scale(center) - below * step, rtol=1e-6)
        np.testing.assert_allclose(scale(high), scale(center) + above * step, rtol=1e-6)
        assert bounds[0] < low < center < high < bounds[1]


def test_standard_errors_are_those_of_scipy() -> None:
    samples = np.random.default_rng(0).normal(size=(2, 3, 5))
    np.testing.assert_allclose(standard_error(samples), stats.sem(samples, axis=2))
    assert np.isnan(standard_error(np.ones((2, 1)))).all()


def test_a_value_that_is_not_finite_spoils_its_own_row_alone() -> None:
    samples = np.array([[1.0, 2.0, 4.0], [1.0, np.inf, 2.0], [np.nan, 1.0, 2.0]])
    found = standard_error(samples)
    assert found[0] == pytest.approx(stats.sem(samples[0]))
    assert np.isnan(found[1:]).all()


def test_few_degrees_of_freedom_reach_further() -> None:
    np.testing.assert_allclose(student_t.factor([1, 3, 30]), stats.t.ppf(0.975, [1, 3, 30]))
    assert student_t.reach(4) == pytest.approx(stats.t.ppf(0.975, 3))
    assert float(student_t.factor(np.inf)) == pytest.approx(stats.norm.ppf(0.975))


def test_draws_that_are_kept_are_those_drawn_anew_and_nobody_can_spoil_them() -> None:
    drawn = np.random.default_rng(3).multinomial(7, np.full(7, 1 / 7), size=50)
    first = counts(7, 50, 3)
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, drawn)
    first[:] = -1
    np.testing.assert_array_equal(counts(7, 50, 3), drawn)
    assert (counts(8, 50, 3).sum(1) == 8).all()
