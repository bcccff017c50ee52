"""Distances of means: what the ball covers, and what it needs."""

import math

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.statistics import distance_of_mean

TRUTH = np.array([[2.0, 1.0, 0.5], [1.0, 2.0, 1.0], [0.5, 1.0, 2.0]])
OTHER = TRUTH * 1.1
FAR = np.linalg.norm(TRUTH - OTHER) / np.linalg.norm(OTHER)


def drawn(random: np.random.Generator, units: int, law: str) -> np.ndarray:
    """Arrays whose mean is TRUTH: normal of equal deviations, along one direction, or Wishart's, which is skewed."""
    if law == "normal":
        return TRUTH + random.normal(size=(units, 3, 3))
    if law == "one direction":
        return TRUTH * (1 + random.normal(size=(units, 1, 1)))
    features = np.linalg.cholesky(TRUTH) @ random.normal(size=(units, 3, 4))
    return features @ features.swapaxes(1, 2) / 4


@pytest.mark.parametrize("law", ["normal", "one direction", "Wishart"])
@pytest.mark.parametrize("units", [10, 50, 120])
def test_the_distance_is_covered(units: int, law: str) -> None:
    random, trials = np.random.default_rng(0), 300
    found = [distance_of_mean([drawn(random, units, law)], OTHER, resamples=199, seed=trial) for trial in range(trials)]
    covered = np.mean([one.low <= FAR <= one.high for one in found])
    least = 0.9 if law == "Wishart" and units == 10 else 0.93
    assert covered > least - 2 * math.sqrt(0.05 * 0.95 / trials)


def test_the_ball_itself_covers_as_often_as_it_says() -> None:
    """About the truth the distance is 0, and the lower end is 0 as often as the ball holds it."""
    random = np.random.default_rng(1)
    at_zero = [
        distance_of_mean([drawn(random, 40, "normal")], TRUTH, resamples=199, seed=trial).low == 0
        for trial in range(400)
    ]
    assert 0.92 < np.mean(at_zero) < 0.995


def test_weights_take_away_what_falls_as_one_over_the_width() -> None:
    random = np.random.default_rng(2)
    narrow, wide = (TRUTH * (1 + 1 / m) + 0.1 * random.normal(size=(400, 3, 3)) for m in (8, 16))
    assert distance_of_mean([wide], TRUTH).low > 0.05
    both = distance_of_mean([wide, narrow], TRUTH, weights=(2, -1))
    assert both.low == 0
    assert both.high < 0.05


def test_sets_of_their_own_sizes_and_an_error_of_the_reference_widen_it() -> None:
    random = np.random.default_rng(3)
    few, many = drawn(random, 20, "normal"), drawn(random, 400, "normal")
    both = distance_of_mean([many, few], TRUTH, weights=(2, -1))
    assert both.n == 20
    alone, more = (distance_of_mean([many], TRUTH, reference_error=error) for error in (0.0, 0.5))
    assert more.high - alone.high == pytest.approx(0.5 / np.linalg.norm(TRUTH))
    assert both.high > alone.high


@pytest.mark.parametrize("samples", [TRUTH[None], np.stack([TRUTH, TRUTH]), np.full((3, 3, 3), np.nan)])
def test_one_unit_units_that_agree_and_nan_have_no_interval(samples: np.ndarray) -> None:
    assert not distance_of_mean([samples], OTHER).known


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], TRUTH), "a weight for each"),
        (([TRUTH[0]], TRUTH), "shape"),
        (([np.ones((4, 2))], np.zeros(2)), "size above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        distance_of_mean(*arguments)


def test_a_negative_error_and_too_few_resamples_are_refused() -> None:
    with pytest.raises(UsageError, match="reference_error"):
        distance_of_mean([np.ones((4, 2))], np.ones(2), reference_error=-1.0)
    with pytest.raises(UsageError, match="resamples"):
        distance_of_mean([np.ones((4, 2))], np.ones(2), resamples=10)
