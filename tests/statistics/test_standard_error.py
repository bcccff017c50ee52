"""The standard error of a mean, against its formula and scipy's."""

import numpy as np
import pytest
from scipy import stats

from thalweg.statistics import standard_error

SAMPLES = np.random.default_rng(0).normal(size=(3, 5, 4))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_it_is_scipys_along_every_axis(axis: int) -> None:
    np.testing.assert_allclose(standard_error(SAMPLES, axis=axis), stats.sem(SAMPLES, axis=axis), rtol=1e-12)


def test_the_last_axis_is_the_default() -> None:
    np.testing.assert_array_equal(standard_error(SAMPLES), standard_error(SAMPLES, axis=2))


def test_one_value_has_no_error_and_one_that_is_not_finite_makes_it_unknown() -> None:
    np.testing.assert_array_equal(standard_error(SAMPLES[:1], axis=0), np.full((5, 4), np.nan))
    broken = SAMPLES.copy()
    broken[1, 2, 3] = np.inf
    unknown = np.isnan(standard_error(broken, axis=0))
    assert unknown[2, 3]
    assert unknown.sum() == 1
