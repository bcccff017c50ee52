"""Tuning error belongs to the interval: choices shared by all scored seeds, and each seed's own, in simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import UsageError
from thalweg.statistics import own_choices, taken
from thalweg.statistics.means import mean_ends

SETS, CHOICES, SEEDS, TUNING = 2_000, 6, 8, 2
COST = np.array([2.0, 1.15, 1.0, 1.1, 1.4, 3.0])  # of every choice on average; the best differ by less than the noise
NOISE = 0.3


def simulated(stream: np.random.Generator, *, shared: bool) -> np.ndarray:
    """What was scored at the rate chosen: (sets, seeds)."""
    found = []
    for _ in range(SETS):
        tuned = COST[:, None, None] + stream.normal(0, NOISE, (CHOICES, 1 if shared else SEEDS, TUNING))
        scored = COST[:, None] + stream.normal(0, NOISE / 3, (CHOICES, SEEDS))
        found.append(taken(scored, own_choices(np.broadcast_to(tuned, (CHOICES, SEEDS, TUNING)))))
    return np.array(found)


def covered(samples: np.ndarray, truth: float) -> int:
    low, high = mean_ends(samples, 199)
    return int(((low <= truth) & (truth <= high)).sum())


def test_an_interval_with_shared_tuning_covers_too_little_and_with_own_tuning_enough() -> None:
    stream = np.random.default_rng(0)
    shared, own = simulated(stream, shared=True), simulated(stream, shared=False)
    truth = float(own.mean())  # of 16,000 tunings: the cost of a rate that is tuned on two seeds
    assert float(shared.mean()) == pytest.approx(truth, abs=4 * float(shared.mean(1).std()) / math.sqrt(SETS))
    assert covered(shared, truth) / SETS < 0.75
    assert stats.binomtest(covered(own, truth), SETS, 0.93, alternative="less").pvalue > 1e-3


def test_choices_are_those_of_a_loop_and_never_what_diverged() -> None:
    stream = np.random.default_rng(1)
    tuned, scored = stream.normal(size=(4, 5, 3)), stream.normal(size=(4, 5, 2))
    tuned[0, 0, 1], tuned[1, 0, 2], tuned[2, 1] = np.nan, np.inf, -np.inf
    choices = own_choices(tuned)
    for seed in range(5):
        means = [
            tuned[choice, seed].mean() if np.isfinite(tuned[choice, seed]).all() else np.inf for choice in range(4)
        ]
        assert choices[seed] == int(np.argmin(means))
        np.testing.assert_array_equal(taken(scored, choices)[seed], scored[choices[seed], seed])
    assert own_choices(np.full((3, 2, 1), np.nan)).tolist() == [0, 0]


def test_tables_that_do_not_fit_are_said() -> None:
    with pytest.raises(UsageError, match=r"\(choices, seeds, tuning seeds of each\); got shape \(4, 5\)"):
        own_choices(np.zeros((4, 5)))
    with pytest.raises(UsageError, match=r"\(choices, 5 seeds, ...\), a seed for each choice; got \(4, 3\)"):
        taken(np.zeros((4, 3)), np.zeros(5, dtype=np.int64))
