"""The largest rate that trains, on losses whose crossing is known."""

import math

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.tuning import LargestRate, largest_rate

RATES = np.array([1.0, 2.0, 4.0, 8.0])
BARE, TWICE = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0], [2.0, 2.3, 1.7, 2.1, 1.9, 2.05]


def limit(rates, *, beyond=(), none=()):
    """A planted largest rate: which seeds lie at an end of the grid."""
    seeds = np.arange(len(rates))
    return LargestRate(np.asarray(rates, float), np.isin(seeds, beyond), np.isin(seeds, none))


def test_it_lies_where_the_loss_crosses_in_the_logarithm_of_the_rate() -> None:
    losses = np.array([[1, 1, 3, 3], [1, 1.5, 1.75, 2.75], [1, 3, 1, 5.0]]).T
    found = largest_rate(RATES, losses, 2.0)
    # Half way, a quarter of the way, and a quarter of the way after a rate in between that does not train.
    np.testing.assert_allclose(found.rates, [2 * 2**0.5, 4 * 2**0.25, 4 * 2**0.25])
    assert not found.none.any()
    assert not found.beyond.any()
    assert found.warnings == ()
    assert found.typical == pytest.approx(np.prod(found.rates) ** (1 / 3))


def test_a_grid_that_does_not_reach_is_told_on_its_side() -> None:
    losses = np.array([[1, 1, 1, 1], [3, 3, 3, 3], [1, 1, 1, 3.0]]).T
    found = largest_rate(RATES, losses, 2.0)
    np.testing.assert_allclose(found.rates, [8, 1, 4 * 2**0.5])
    assert found.beyond.tolist() == [True, False, False]
    assert found.none.tolist() == [False, True, False]
    assert found.warnings == (
        "the largest rate tried still trains for 1 of 3 seeds: the grid ends too early there.",
        "no rate trains for 1 of 3 seeds: the grid ends too early there.",
    )


def test_one_over_another_is_the_ratio_of_paired_seeds() -> None:
    found = limit(TWICE).over(limit(BARE))
    assert found.estimate == pytest.approx(np.exp(np.mean(np.log(TWICE) - np.log(BARE))))
    assert 1 < found.low < found.estimate < found.high < math.inf


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ({"beyond": [0]}, {}, False, True),
        ({"none": [1]}, {}, True, False),
        ({}, {"beyond": [2]}, True, False),
        ({}, {"none": [3]}, False, True),
    ],
)
def test_an_end_is_open_where_the_grid_ended(first, second, low, high) -> None:
    found = limit(TWICE, **first).over(limit(BARE, **second))
    assert (found.low == 0, found.high == math.inf) == (low, high)
    assert "open" in found.method


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([2.0, 1.0], [[1.0], [1.0]], r"ascending order; got \[2.0, 1.0\]"),
        ([0.0, 1.0], [[1.0], [1.0]], "positive rates"),
        ([1.0, 2.0], [1.0, 1.0], r"with 2 rates; got shape \(2,\)"),
        ([1.0, 2.0], [[1.0], [math.inf]], "1 of 2 values finite"),
    ],
)
def test_what_cannot_be_read_off_is_refused(rates, losses, message) -> None:
    with pytest.raises(UsageError, match=message):
        largest_rate(rates, losses, 2.0)
