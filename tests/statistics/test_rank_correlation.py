"""Rank correlations: planted orders, pairs counted by hand, and what cannot be ranked."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.statistics import kendall, spearman

RISING = np.array([0.1, 0.2, 0.5, 3.0])


def test_tau_of_planted_orders_with_gaps() -> None:
    error = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, np.nan], [3.0, 3.0, 3.0, np.nan]])
    measure = np.array([[10.0, 30.0, np.nan, 1.0], [20.0, 20.0, 4.0, 2.0], [30.0, 10.0, 5.0, 3.0]])
    assert kendall(measure, error)[:3].tolist() == [1.0, -1.0, 1.0]
    assert np.isnan(kendall(measure, error)[3])  # one pair has no order
    assert kendall([1.0, 3.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(1 / 3)


def test_tau_is_the_count_of_pairs() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.normal(size=(2, 9, 5))
    signs = [np.sign(values[:, None] - values[None]) for values in (first, second)]
    wanted = (signs[0] * signs[1]).sum((0, 1)) / (9 * 8)
    np.testing.assert_allclose(kendall(first, second), wanted)


def test_the_means_along_two_axes_tell_them_apart() -> None:
    rate, batch = np.arange(4.0)[None, :, None], np.arange(3.0)[:, None, None]
    error, measure = 10 * rate - batch + np.zeros((3, 4, 2)), rate + 10 * batch + np.zeros((3, 4, 2))
    assert (kendall(measure, error, axis=1) == 1).all()
    assert (kendall(measure, error, axis=0) == -1).all()
    measure[:, 0], error[0, 1] = np.nan, np.nan  # a rate without any value has no order over batch sizes
    assert np.isnan(kendall(measure, error, axis=0)[0]).all()
    assert (kendall(measure, error, axis=0)[1:] == -1).all()


def test_spearman_is_the_correlation_of_ranks() -> None:
    assert spearman(RISING, RISING**2) == pytest.approx(1)
    assert spearman(RISING, -RISING) == pytest.approx(-1)
    first, second = np.random.default_rng(1).normal(size=(2, 12))
    ranks = [values.argsort().argsort() for values in (first, second)]
    assert spearman(first, second) == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("correlation", [kendall, spearman])
def test_what_has_no_rank_correlation(correlation) -> None:
    assert np.isnan(correlation(RISING[:3], RISING[:3], fewest=4))
    assert correlation(RISING, RISING, fewest=4) == pytest.approx(1)
    assert np.isnan(correlation(RISING, np.ones(4)))
    assert np.isnan(correlation([1.0], [2.0], fewest=0))
    with pytest.raises(UsageError, match="two tables of one shape"):
        correlation(RISING, RISING[:3])
    with pytest.raises(UsageError, match="axis 2"):
        correlation(RISING, RISING, axis=2)
