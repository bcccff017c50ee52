"""The verdict on the edge of stability is that on both rules."""

import math

import pytest
import torch

import thalweg as tw
from thalweg.nets import mlp, resnet
from thalweg.statistics.interval import Interval
from thalweg.studies.landscape import edge, filters


def _end(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 5, "planted")


@pytest.mark.parametrize(
    ("first", "second", "judged", "outcome"),
    [
        ((1.038, 1.042), (0.83, 1.23), 1, "undecided"),  # the first is farther from 1, and certain
        ((1.03, 1.045), (0.99, 1.01), 0, "holds"),
        ((1.06, 1.08), (0.5, 1.6), 0, "fails"),
        ((0.9, 0.94), (1.06, 1.07), 1, "fails"),
        ((1.0, 1.01), (math.nan, math.nan), 1, "undecided"),
    ],
)
def test_the_verdict_is_that_on_the_rule_that_is_weaker(
    first: tuple[float, float], second: tuple[float, float], judged: int, outcome: str
) -> None:
    for rules in (("gradient descent", "momentum"), ("momentum", "gradient descent")):
        verdict = edge.CLAIM.judge(
            parts=dict(zip(rules, (_end(*first), _end(*second)), strict=True)), ran=edge.CLAIM.budget
        )
        assert (verdict.own.part.id, verdict.outcome) == (rules[judged], outcome)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_filters_are_rescaled_on_a_gpu_as_on_the_cpu() -> None:
    for model, data, rescale in (
        (lambda: resnet(4), tw.data.digits(image=True), filters.filters_rescaled),
        (lambda: mlp(64, 16, 10), tw.data.digits(), filters.units_rescaled),
    ):
        problem = tw.Problem(model, data)
        population = problem.initialize(1)
        moved = rescale(problem, population.to("cuda"), 0)
        torch.testing.assert_close(moved.theta.cpu(), rescale(problem, population, 0).theta)
