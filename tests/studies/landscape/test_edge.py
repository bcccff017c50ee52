"""LAN8: which readings count, that the limits can be passed, and that the verdict is that on both rules."""

import math

import numpy as np
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
        ((1.08, 1.095), (0.99, 1.01), 0, "holds"),
        ((1.11, 1.13), (0.5, 1.6), 0, "fails"),
        ((0.9, 0.94), (1.11, 1.12), 1, "fails"),
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


def test_the_limits_are_at_most_a_third_of_what_small_steps_come_to() -> None:
    assert all(float(tw.optim.stability_limit(rule)) <= min(edge.REACHED) / 3 for rule in edge.RULES.values())


def test_readings_fall_on_even_and_odd_steps() -> None:
    """At the edge a path alternates from step to step."""
    assert edge.EVERY % 2 == 1


@pytest.mark.parametrize(
    ("relative", "loss", "expected"),
    [
        ([0.5, 0.8, 1.0, 1.1, 1.05, 0.3], [1, 0.5, 0.3, 0.1, 0.05, 0.01], 1.05),  # the last has fallen
        ([0.5, 1.2, 1.0, 1.1, 1.1, 1.1], [1, 0.9, 0.8, 0.7, 0.6, 0.5], 1.1),  # from the first at the limit
        ([0.5, 0.6, 0.7, 0.8], [1, 0.5, 0.3, 0.2], 0.75),  # never there: the second half
        ([0.4, 0.4, 0.4, 0.4, 0.4, 1.0], [1, 0.5, 0.4, 0.3, 0.2, 0.1], 0.6),  # there at last: the second half
        ([0.5, 1.0, 1.1, 9.0], [1, 0.5, 0.01, 0.5], 1.0),  # where the loss had fallen before, nothing counts
        ([0.5, 1.0, math.nan, 1.0], [1, 0.5, math.nan, 0.2], math.nan),  # diverged
    ],
)
def test_the_edge_is_from_the_limit_on_while_the_loss_falls(
    relative: list[float], loss: list[float], expected: float
) -> None:
    beside = np.array([[0.9, 0.9], *([[1.2, 1.0]] * (len(loss) - 1))])  # of another seed: relative, loss
    found = edge.at_the_edge(np.stack([relative, beside[:, 0]], 1), np.stack([loss, beside[:, 1]], 1))
    assert found == pytest.approx([expected, 1.2], nan_ok=True)


def test_the_share_in_the_band_is_of_the_readings_that_count() -> None:
    relative = np.array([[0.5, 0.96], [1.2, 0.97], [1.0, 0.9], [1.05, math.nan]])  # the first seed from 1.2 on
    loss = np.array([[1, 1], [0.9, 0.9], [0.8, 0.8], [0.7, 0.01]])  # the second never at the limit, fallen at last
    assert edge.within_band(relative, loss) == pytest.approx(3 / 5)


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
