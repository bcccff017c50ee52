"""Steps of one rule for one of another, on planted losses."""

import math

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.tuning import speedup

RATES = np.logspace(-3, 0, 7)


def planted(slow: float, fast: float):
    """Losses exp(-fall step), slower on all but the grid's fourth rate, a little different by seed; two tune."""
    at = np.arange(0, 101, 5)
    seeds = 1 + 0.02 * np.arange(8)
    slower = np.full(len(RATES), 0.5)
    slower[3] = 1.0
    losses = {
        name: np.exp(-fall * at[:, None, None] * slower[:, None] * seeds)
        for name, fall in (("SGD", slow), ("momentum", fast))
    }
    tuned = {name: np.repeat(each[:, :, None, :2], 6, axis=2) for name, each in losses.items()}
    return speedup(at, tuned, {name: each[:, :, 2:] for name, each in losses.items()}, RATES)


@pytest.mark.parametrize(("slow", "fast"), [(0.02, 0.06), (0.04, 0.03)])
def test_a_planted_speedup_is_found_at_the_best_rate(slow, fast):
    found = planted(slow, fast)
    assert {name: set(rates) for name, rates in found.rate.items()} == {"SGD": {RATES[3]}, "momentum": {RATES[3]}}
    assert found.ratio("SGD", "momentum").estimate == pytest.approx(fast / slow, rel=0.03)
    assert found.ratio("momentum", "SGD").estimate == pytest.approx(slow / fast, rel=0.03)


def test_a_target_that_is_never_reached_counts_as_the_whole_budget_and_is_reported():
    found = planted(0.04, 0.01)
    np.testing.assert_array_equal(found.needed["momentum"], 100)
    assert found.never == {"SGD": 0, "momentum": 6}
    ratio = found.ratio("SGD", "momentum")
    assert ratio.low == 0.0  # it may take far more steps than were counted
    assert math.isfinite(ratio.high)
    assert any("6 of 6 runs of momentum" in sentence for sentence in found.late)


def test_every_scored_seed_has_the_rate_and_the_target_of_its_own_tuning_seeds():
    """Two scored seeds, whose tuning seeds prefer different rates and reach different losses."""
    at, flat = np.arange(0.0, 41.0, 10.0), np.ones(5)
    fast, slow = np.array([1.0, 0.5, 0.25, 0.2, 0.1]), np.array([1.0, 0.8, 0.6, 0.4, 0.3])
    tuned = np.stack([np.stack([fast, flat], 1), np.stack([flat, slow], 1)], axis=1)[..., None]  # seed i best at rate i
    scored = np.stack([np.stack([slow, fast], 1), np.stack([fast, slow], 1)], axis=1)
    found = speedup(at, {"SGD": tuned}, {"SGD": scored}, [0.1, 1.0])
    assert found.rate["SGD"].tolist() == [0.1, 1.0]
    assert found.target.tolist() == [0.2, 0.4]  # after three quarters of the steps
    np.testing.assert_array_equal(found.losses["SGD"], np.stack([slow, slow], 1))
    assert found.times["SGD"].tolist() == [np.inf, 30.0]
    # No other seed's tuning enters: with other losses to tune on, only the first one's changes.
    tuned[:, 0, 0], tuned[:, 1, 0] = flat[:, None], fast[:, None]
    again = speedup(at, {"SGD": tuned}, {"SGD": scored}, [0.1, 1.0])
    assert again.rate["SGD"].tolist() == [1.0, 1.0]
    assert (again.target[1], again.times["SGD"][1]) == (found.target[1], found.times["SGD"][1])


@pytest.mark.parametrize("shape", [(2, 3, 3, 2), (2, 4, 4, 2), (3, 3, 4, 2)])
def test_losses_to_tune_on_that_are_not_those_of_the_scored_seeds_are_refused(shape):
    with pytest.raises(UsageError, match="for each of these seeds"):
        speedup([0, 1], {"SGD": np.ones(shape)}, {"SGD": np.ones((2, 3, 4))}, [1, 2, 3])


def test_rules_that_are_not_both_tuned_and_scored_are_refused():
    with pytest.raises(UsageError, match="same rules"):
        speedup([0, 1], {"SGD": np.ones((2, 3, 4, 1))}, {"Adam": np.ones((2, 3, 4))}, [1, 2, 3])
