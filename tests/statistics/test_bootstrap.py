"""Bounds of many means at once, and standard errors: against one mean at a time, SciPy, and values that are special."""

import numpy as np
import pytest
from scipy import stats

from thalweg.statistics import mean, standard_error, student_t
from thalweg.statistics.bootstrap import bounds


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_bounds_of_many_rows_are_those_of_each_mean(n: int) -> None:
    samples = np.random.default_rng(n).exponential(size=(6, n))
    samples[0] = samples[0, 0]  # all equal: nothing to resample
    samples[1, 1:] = samples[1, 0] + 1
    low, high = bounds(samples)
    each = [mean(row) for row in samples]
    np.testing.assert_allclose(low, [one.low for one in each], rtol=1e-12)
    np.testing.assert_allclose(high, [one.high for one in each], rtol=1e-12)


def test_one_value_bounds_nothing_and_equal_ones_are_a_point() -> None:
    np.testing.assert_array_equal(bounds(np.array([[2.0]])), [[-np.inf], [np.inf]])
    np.testing.assert_array_equal(bounds(np.full((2, 6), 3.0)), np.full((2, 2), 3.0))


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
