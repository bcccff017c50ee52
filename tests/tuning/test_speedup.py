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
    return speedup(at, losses, RATES, tuning=2)


@pytest.mark.parametrize(("slow", "fast"), [(0.02, 0.06), (0.04, 0.03)])
def test_a_planted_speedup_is_found_at_the_best_rate(slow, fast):
    found = planted(slow, fast)
    assert found.rate == {"SGD": RATES[3], "momentum": RATES[3]}
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


def test_losses_without_seeds_to_score_on_are_refused():
    with pytest.raises(UsageError, match="some to score on"):
        speedup([0, 1], {"SGD": np.ones((2, 3, 4))}, [1, 2, 3], tuning=4)
