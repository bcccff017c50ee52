"""What is made of the critical points that a search came to."""

import math

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.landscape import critical_points
from thalweg.studies import Lab
from thalweg.studies.landscape import saddles


def test_the_loss_is_the_error_and_half_the_decay_times_the_sum_of_squares() -> None:
    problem = saddles.problem_of(Lab())
    population = problem.initialize(3)
    values = tw.evaluation.evaluate(problem, population, problem.data.train)
    decay = saddles.DECAY / 2 * population.theta.square().sum(1)
    torch.testing.assert_close(values["loss"], values["error"] + decay)


def test_points_of_one_loss_count_once() -> None:
    losses = np.array([0.3, 0.1, 0.3 + 1e-10, 0.2, 0.1])
    assert saddles.different(losses).tolist() == [True, True, False, True, False]
    assert saddles.different(losses[:0]).tolist() == []


def test_rank_correlations_and_too_few_points() -> None:
    rising = np.array([0.1, 0.2, 0.5, 3.0])
    assert saddles.rank_correlation(rising, rising**2) == pytest.approx(1)
    assert saddles.rank_correlation(rising, -rising) == pytest.approx(-1)
    assert math.isnan(saddles.rank_correlation(rising[:3], rising[:3]))
    assert math.isnan(saddles.rank_correlation(rising, np.ones(4)))


@pytest.mark.parametrize("known", [0, 1, 3])
def test_too_few_seeds_decide_nothing(known: int) -> None:
    correlations = np.array([1.0] * known + [math.nan] * 3)
    assert saddles.CLAIM.judge(saddles.over_seeds(correlations)).outcome == "undecided"


def test_many_seeds_decide() -> None:
    agreed = saddles.over_seeds(np.array([1.0] * 9 + [math.nan]))
    assert (agreed.n, agreed.estimate, agreed.high) == (9, 1, 1)
    assert agreed.low == pytest.approx(2 * 0.025 ** (1 / 9) - 1, abs=0.01)  # Clopper and Pearson's, on -1 to 1
    assert saddles.CLAIM.judge(agreed).outcome == "holds"
    assert saddles.CLAIM.judge(saddles.over_seeds(np.full(9, -0.9))).outcome == "fails"


def test_a_search_that_finds_nothing_is_undecided_by_computation() -> None:
    lab, seeds = Lab(), [900, 901]
    problem = saddles.problem_of(lab)
    population = problem.initialize(4)
    start = saddles.Start(population, np.array([0, 1, 0, 1]), np.array(["run", "run", "random", "random"]))
    search = critical_points(problem, population, tolerance=1e-12, steps=1)
    finding = saddles.finding(lab, problem, seeds, start, search)
    assert finding.verdict.outcome == "undecided"
    assert finding.verdict.numbers["different critical points"] == 0
