"""Weighted sums of networks against networks built by hand: curves and simplexes, under each policy of statistics."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import Conditions, Points, evaluate, recomputed, weighted_sums
from thalweg.population.layout import Layout
from thalweg.progress import Progress
from thalweg.randomness import generator

POLICIES = ("frozen", "interpolate", "recompute")


def bezier(t: Tensor, degree: int) -> Tensor:
    """Bernstein's polynomials: (points, degree + 1)."""
    return torch.stack([math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)], dim=1)


def simplex(count: int) -> Tensor:
    """Corners, their middle, and random points of a 3-simplex: (points, 4)."""
    draw = -torch.rand(count, 4, generator=generator(0, "simplex"), dtype=torch.float64).log()
    return torch.cat([torch.eye(4, dtype=torch.float64), torch.full((1, 4), 0.25), draw / draw.sum(1, keepdim=True)])


WEIGHTS = {"a cubic curve": bezier(torch.linspace(0, 1, 9, dtype=torch.float64), 3), "a 3-simplex": simplex(6)}


def _anchors(problem: tw.Problem, count: int = 4, members: int = 2) -> list[tw.Population]:
    """Trained networks, whose running statistics differ."""
    runs = [
        tw.train(
            problem, tw.Recipe(tw.optim.Momentum(0.05), 8, 8, evaluate=0), [10 * number, 10 * number + 1][:members]
        )
        for number in range(count)
    ]
    return [run.final for run in runs]


def _by_hand(problem: tw.Problem, anchors: list[tw.Population], weights: Tensor, statistics: str, on: Any) -> float:
    """Loss of the first member's weighted sum, with the buffers of the policy."""
    theta = sum(float(w) * anchor.theta[:1] for w, anchor in zip(weights, anchors, strict=True))
    there = anchors[0][0].with_theta(theta).copy()
    if statistics == "interpolate":
        for name in ("norm.running_mean", "norm.running_var"):
            there.buffers[name].copy_(
                sum(float(w) * anchor.buffers[name][:1] for w, anchor in zip(weights, anchors, strict=True))
            )
    elif statistics == "recompute":
        there = recomputed(problem, there)
    return float(evaluate(problem, there, on, plan="looped")["loss"])


@pytest.mark.parametrize("plan", ["looped", "stacked"])
@pytest.mark.parametrize("statistics", POLICIES)
@pytest.mark.parametrize("shape", WEIGHTS)
def test_points_are_the_networks_built_by_hand(shape: str, statistics: str, plan: str) -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    anchors, weights = _anchors(problem), WEIGHTS[shape]
    found = weighted_sums(problem, anchors, weights, statistics=statistics, plan=plan)
    assert found["loss"].shape == (2, len(weights))
    assert not found.standard_errors["loss"].any()
    for point, row in enumerate(weights):
        wanted = _by_hand(problem, anchors, row, statistics, "train")
        assert found["loss"][0, point] == pytest.approx(wanted, rel=1e-10)
    if statistics == "interpolate":  # every corner is the network itself
        for corner, anchor in zip((0, 3), (anchors[0], anchors[3]), strict=True):
            place = int((weights[:, corner] == 1).nonzero()[0])
            wanted = evaluate(problem, anchor, "train")["loss"].numpy()
            np.testing.assert_allclose(found["loss"][:, place], wanted, rtol=1e-10)


def test_a_line_is_a_curve_with_two_anchors() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    start, end = _anchors(problem, 2)
    t = np.linspace(-0.5, 1.5, 7)
    for statistics in POLICIES:
        line = tw.landscape.line(problem, start, to=end, span=(-0.5, 1.5), resolution=7, statistics=statistics)
        curve = weighted_sums(problem, [start, end], np.stack([1 - t, t], 1), statistics=statistics)
        np.testing.assert_allclose(curve["loss"], line["loss"], rtol=1e-9)


def test_the_first_anchor_is_a_direct_evaluation_bit_for_bit() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    anchors = [problem.initialize([seed]) for seed in range(3)]
    weights = [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]
    direct = evaluate(problem, anchors[0], "train")
    for on in ("train", tw.Sample("train", 100)):
        found = weighted_sums(problem, anchors, weights, on=on)
        for name, values in direct.items():
            assert found[name][0, 1] == float(values[0])
            assert found.standard_errors[name][0, 1] == 0


@pytest.mark.parametrize("statistics", POLICIES)
def test_on_a_sample_values_are_within_their_errors(statistics: str) -> None:
    """Over 150 samples of 20 examples: their mean is the value on all, and most of the 95 % intervals cover it."""
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    anchors, weights = _anchors(problem, 3, members=1), bezier(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64), 2)
    whole = weighted_sums(problem, anchors, weights, statistics=statistics)
    off, covered = [], []
    for seed in range(150):
        some = weighted_sums(
            problem, anchors, weights, statistics=statistics, on=tw.Sample("train", 20, seed), plan="looped"
        )
        error = some.standard_errors["loss"][0]
        assert (error > 0).all()
        off.append(some["loss"][0] - whole["loss"][0])
        covered.append(np.abs(off[-1]) <= 1.96 * error)
    off = np.array(off)
    assert (np.abs(off.mean(0)) < 4 * off.std(0) / 150**0.5).all()
    assert 0.85 < np.mean(covered) < 0.99


def test_nothing_given_is_changed_or_copied_once_a_point() -> None:
    problem = CASE["batchnorm"].problem()
    anchors = _anchors(problem, 3)
    before = [(one.theta.clone(), {name: buffer.clone() for name, buffer in one.buffers.items()}) for one in anchors]
    points = Points(anchors, Conditions.of("curve", problem, statistics="recompute"), rows=5)
    assert points.theta.shape == (5, problem.layout.parameters)
    assert all(mine.theta is given.theta for mine, given in zip(points.anchors, anchors, strict=True))
    points.at(1, bezier(torch.linspace(0, 1, 40, dtype=torch.float64), 2))
    assert points.evaluations == 39
    for one, (theta, buffers) in zip(anchors, before, strict=True):
        assert torch.equal(one.theta, theta)
        assert all(torch.equal(one.buffers[name], buffer) for name, buffer in buffers.items())


def test_statistics_are_recomputed_on_the_examples_that_the_sample_means() -> None:
    """A point built by hand and given `recomputed` statistics on the same count and seed is the same network."""
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    anchors = _anchors(problem, 2, members=1)
    middle = anchors[0].with_theta((anchors[0].theta + anchors[1].theta) / 2)
    losses = set()
    for seed in (0, 3):
        there = recomputed(problem, middle, on=tw.Sample("train", 9, seed))
        wanted = float(evaluate(problem, there, "train")["loss"])
        found = weighted_sums(problem, anchors, [[0.5, 0.5]], statistics_count=9, seed=seed)
        assert found["loss"][0, 0] == pytest.approx(wanted, rel=1e-10)
        losses.add(wanted)
    assert len(losses) == 2  # so that another draw would show


def test_points_in_memory_fit_the_budget() -> None:
    row = 4 * Layout.of(tw.nets.mlp(64, 32, 10)).parameters
    for budget, rows in ((row // 2, 1), (5 * row, 5), (2**30, 64)):
        problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits(), memory_budget=budget)
        assert len(Points([problem.initialize(1)], Conditions.of("curve", problem)).theta) == rows


def test_estimates_that_owe_their_change_to_a_few_examples_say_so() -> None:
    problem = CASE["batchnorm"].problem()
    anchors = _anchors(problem, 2)
    found = weighted_sums(problem, anchors, [[0.5, 0.5]], on=tw.Sample("train", 20))
    assert "fewer than 30 of the examples" in " ".join(found.notes)
    assert weighted_sums(problem, anchors, [[0.5, 0.5]]).notes == ()


def test_progress_is_told_in_points_of_all_members() -> None:
    problem, heard = CASE["mlp"].problem(), list[Progress]()
    weighted_sums(problem, [problem.initialize(2)] * 2, [[0.5, 0.5]] * 70, progress=heard.append)
    assert [(one.done, one.total) for one in heard] == [(64, 140), (70, 140), (134, 140), (140, 140)]


class Frozen(nn.Module):
    """A random layer that is not trained, under one that is."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.body.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))


@pytest.mark.parametrize("statistics", POLICIES)
def test_entries_are_the_values_by_example_of_every_point(statistics: str) -> None:
    """In tiles of two points; their means are the points' own, and the first anchor is on the sample, as all are."""
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    anchors, weights = _anchors(problem, 2), torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.0, 1.0]], dtype=torch.float64)
    conditions = Conditions.of("line", problem, on="train", statistics=statistics)
    points, seen = Points(anchors, conditions, rows=2), []
    for member in range(2):
        found = list(points.entries(member, weights, seen.append))
        assert [place for place, _ in found] == [slice(0, 2), slice(2, 3)]
        table = torch.cat([entries["loss"][0] for _, entries in found])
        assert table.shape == (3, 24)
        assert found[0][1]["loss"][1] is None
        means, _ = points.at(member, weights)
        assert table.mean(1).numpy() == pytest.approx(means["loss"], rel=1e-12)
    assert seen == [2, 1, 2, 1]
    few = Conditions.of("line", problem, on=tw.Sample("train", 6), statistics=statistics)
    chosen = tw.Sample("train", 6).indices(24)
    (_, entries), _ = Points(anchors, few, rows=2).entries(1, weights)
    (_, whole), _ = points.entries(1, weights)
    assert torch.allclose(entries["loss"][0], whole["loss"][0][:, chosen], rtol=1e-12)


def test_what_cannot_be_meant() -> None:
    problem = CASE["mlp"].problem()
    one, two = problem.initialize(1), problem.initialize(2)
    with pytest.raises(UsageError, match=r"weights must be finite, \(points, 2 anchors\); got shape \(1, 3\)"):
        weighted_sums(problem, [one, one], [[0.2, 0.3, 0.5]])
    with pytest.raises(UsageError, match="weights must be finite"):
        weighted_sums(problem, [one, one], [[math.nan, 0.5]])
    with pytest.raises(UsageError, match="weighted_sums needs as many members everywhere; got 1 and 2"):
        weighted_sums(problem, [one, two], [[0.5, 0.5]])
    with pytest.raises(UsageError, match="weighted_sums anchors must be a list of at least one Population"):
        weighted_sums(problem, [], [[0.5, 0.5]])
    with pytest.raises(UsageError, match=r"got one Population of 2 members\. .* write \[population\[0\], population"):
        weighted_sums(problem, two, [[0.5, 0.5]])
    with pytest.raises(UsageError, match="The two layouts differ"):
        weighted_sums(problem, [one, CASE["batchnorm"].problem().initialize(1)], [[0.5, 0.5]])
    with pytest.raises(UsageError, match="weighted_sums on a sample needs at least 2 examples"):
        weighted_sums(problem, [one], [[1.0]], on=tw.Sample("train", 1))
    with pytest.raises(UsageError, match="statistics is one of frozen, interpolate, recompute; got 'batch'"):
        weighted_sums(problem, [one], [[1.0]], statistics="batch")
    frozen = tw.Problem(Frozen, (problem.data.train.inputs, problem.data.train.targets))
    with pytest.raises(UsageError, match=r"The frozen parameters 'body\.bias', 'body\.weight' differ"):
        weighted_sums(frozen, [frozen.initialize([0]), frozen.initialize([1])], [[0.5, 0.5]])

    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1)

    noisy = tw.Problem(lambda: Noisy(4, 3), (problem.data.train.inputs, problem.data.train.targets))
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode, so points cannot be compared"):
        weighted_sums(noisy, [noisy.initialize(1)], [[1.0]])
