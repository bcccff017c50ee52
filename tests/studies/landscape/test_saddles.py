"""The landscape that is searched for critical points, and what too few of them decide."""

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
    values = tw.evaluate(problem, population, "train")
    torch.testing.assert_close(values["loss"], values["error"] + saddles.DECAY / 2 * population.theta.square().sum(1))


def test_starts_lie_by_point_and_seed() -> None:
    lab = Lab()
    problem = saddles.problem_of(lab)
    both, alone = (saddles.starts(problem, lab, seeds).theta for seeds in ([4, 5], [5]))
    torch.testing.assert_close(both[1::2], alone, rtol=1e-6, atol=1e-8)
    assert len(alone) == len(saddles.STEPS["quick"]) + 3


def test_the_lowest_point_has_all_starts_that_led_there() -> None:
    loss = np.array([[0.3, 0.2, math.nan], [0.1, 0.2, math.nan], [0.1, math.nan, math.nan]])
    assert saddles.starts_of_lowest(loss, ["step 4", "step 7", "random point 1"]) == [
        "step 7, random point 1",
        "step 4, step 7",
    ]


def outcomes(correlations: np.ndarray, lowest: np.ndarray) -> tuple[str, ...]:
    """Of the claim, that the index rises, and that it is about 0 at the bottom."""
    parts = {"rise": saddles.over_seeds(correlations), "bottom": saddles.at_the_bottom(lowest)}
    verdict = saddles.CLAIM.judge(parts=parts, ran=saddles.CLAIM.budget)
    return (verdict.outcome, *(one.outcome for one in verdict.parts))


@pytest.mark.parametrize("known", [0, 1, 3])
def test_too_few_seeds_decide_nothing(known: int) -> None:
    correlations = np.array([1.0] * known + [math.nan] * 3)
    assert outcomes(correlations, np.zeros(known)) == ("undecided",) * 3


def test_many_seeds_decide() -> None:
    agreed = saddles.over_seeds(np.array([1.0] * 9 + [math.nan]))
    assert (agreed.n, agreed.estimate, agreed.high) == (9, 1, 1)
    assert agreed.low == pytest.approx(2 * 0.025 ** (1 / 9) - 1, abs=0.01)  # Clopper and Pearson's, on -1 to 1
    assert outcomes(np.ones(9), np.zeros(9)) == ("holds",) * 3
    assert outcomes(np.full(9, -0.9), np.zeros(9)) == ("fails", "fails", "holds")


def test_both_halves_are_judged() -> None:
    """One direction of 59 that leads down is about none, and two are not."""
    assert outcomes(np.ones(9), np.full(9, 1 / 59)) == ("holds",) * 3
    assert outcomes(np.ones(9), np.full(9, 2 / 59)) == ("fails", "holds", "fails")
    assert outcomes(np.ones(9), np.array([0, 0.1] * 4 + [0.0])) == ("undecided", "holds", "undecided")


def test_a_search_that_finds_nothing_is_undecided_by_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    def hopeless(problem, population, *, tolerance, steps, progress):
        return critical_points(problem, population, tolerance=1e-3 * tolerance, steps=1)

    monkeypatch.setattr(saddles, "critical_points", hopeless)
    monkeypatch.setattr(saddles, "STEPS", {"quick": (4, 7)})  # a run that goes on comes to a minimum by itself
    (finding,) = saddles.experiment(Lab())
    assert finding.verdict.outcome == "undecided"
    assert finding.verdict.numbers["different critical points"] == 0
    assert len(finding.sentences) == 3
    assert finding.sentences[-1].startswith("LAN6 lacks budget, not seeds")
    finding.figures[0].to_matplotlib()
