"""Curves: ends to the bit, closed-form optima, known curves of low loss, controls on which nothing is joined."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE
from connectivity.planted import deep_linear, members, of_function, ring
from torch import Tensor

import thalweg as tw
from thalweg.connectivity import bezier, polygonal
from thalweg.connectivity.bezier import bernstein
from thalweg.connectivity.curve_draws import SAMPLINGS, Draws
from thalweg.connectivity.polygonal import hats
from thalweg.errors import UsageError
from thalweg.evaluation import evaluate
from thalweg.optim import SGD, Adam, Momentum
from thalweg.randomness import generator

KINDS = [bezier, polygonal]
BASES = {bezier: bernstein, polygonal: hats}


def _recipe(rule: Any, steps: int, batch: int | None = None) -> tw.Recipe:
    return tw.Recipe(rule, steps, batch, tw.connectivity.curve_schedule(steps))


def _digits(width: int = 8) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, width, 10), tw.data.digits().subset(train=200, test=100))


def _optimum(basis: Callable[[Tensor, int], Tensor], ends: Tensor, bends: int) -> Tensor:
    """The bends (bends, n) at which the mean of |phi(t)|^2 over t is least: a linear system of integrals over t."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    pieces = bends + 1  # exact on every straight piece, and on all of a Bezier curve
    t = torch.tensor(np.concatenate([(nodes / 2 + 0.5 + k) / pieces for k in range(pieces)]))
    w = torch.tensor(np.tile(weights / 2 / pieces, pieces))
    gram = torch.einsum("i,ik,il->kl", w, *(2 * [basis(t, bends + 2)]))
    fixed = gram[1:-1][:, [0, -1]] @ ends
    return -torch.linalg.solve(gram[1:-1, 1:-1], fixed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [1, 3])
def test_bends_on_a_quadratic_go_to_the_closed_form(kind: Any, bends: int) -> None:
    draw = torch.randn(4, 4, generator=generator(0, "matrix"), dtype=torch.float64)
    matrix = draw @ draw.T / 4 + 0.5 * torch.eye(4, dtype=torch.float64)
    problem = of_function(lambda x: 0.5 * x @ matrix @ x, 4)
    ends = torch.randn(2, 4, generator=generator(1, "ends"), dtype=torch.float64)
    first, second = members(problem, ends[:1]), members(problem, ends[1:])
    curve = kind(problem, first, second, _recipe(Momentum(2.0), 600), bends=bends, draws=24, points=3)
    found = torch.cat([one.theta for one in curve.control[1:-1]])
    torch.testing.assert_close(found, _optimum(BASES[kind], ends, bends), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", ["l2", "lr_coupled"])
def test_decay_on_the_curve_has_the_same_closed_form(kind: Any, decay: str) -> None:
    """Of a loss of zero the decay alone is left, which is least where the mean of |phi(t)|^2 is."""
    problem = of_function(lambda x: (0 * x).sum(), 4)
    ends = torch.randn(2, 4, generator=generator(1, "ends"), dtype=torch.float64)
    rule = SGD(0.5, weight_decay=0.5, decay=decay)
    curve = kind(
        problem, members(problem, ends[:1]), members(problem, ends[1:]), _recipe(rule, 300), draws=24, points=3
    )
    torch.testing.assert_close(curve.control[1].theta, _optimum(BASES[kind], ends, 1), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_ring_the_line_is_high_and_the_curve_is_not(kind: Any) -> None:
    problem = ring()
    first, second = members(problem, [[1.0, 0.0]]), members(problem, [[math.cos(2.8), math.sin(2.8)]])
    curve = kind(problem, first, second, _recipe(Momentum(0.1), 800), bends=5, draws=12)
    line = (1 - math.cos(1.4)) ** 2  # half way
    assert curve["line loss height"][0, 0] == pytest.approx(line, rel=1e-3)
    assert curve.height()[0] < 0.01 * line
    assert curve.share_of_line()[0] < 0.01


def test_a_deep_linear_network_is_joined_as_low_as_by_its_explicit_curve() -> None:
    problem, explicit = deep_linear()
    first, second = explicit(0.0), explicit(1.0)
    on_explicit = [float(evaluate(problem, explicit(t), "train")["loss"][0]) for t in np.linspace(0, 1, 11)]
    np.testing.assert_allclose(on_explicit, on_explicit[0], rtol=1e-10)
    curve = bezier(problem, first, second, _recipe(Momentum(0.02), 1_500), bends=3, draws=8)
    assert curve["line loss height"][0, 0] > 20 * on_explicit[0]
    assert curve.height()[0] < 0.01 * curve["line loss height"][0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_their_points_to_the_bit(kind: Any) -> None:
    problem = _digits()
    first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    curve = kind(problem, first, second, _recipe(Momentum(0.1), 5, 20), bends=2, points=7)
    assert torch.equal(curve.at(0.0).theta, first.theta)
    assert torch.equal(curve.at(1.0).theta, second.theta)
    for position, on in enumerate(("train", "test")):
        for end, population in ((0, first), (-1, second)):
            wanted = evaluate(problem, population, on)["loss"].numpy()
            np.testing.assert_allclose(curve["loss"][position, :, end], wanted, rtol=1e-6)
            np.testing.assert_array_equal(curve["line loss"][position, :, end], curve["loss"][position, :, end])
    assert curve.weights([0.0, 1.0]).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_networks_on_the_curve(kind: Any) -> None:
    problem = _digits()
    first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    curve = kind(problem, first, second, _recipe(Momentum(0.1), 5, 20), bends=2, points=6, seed=[7, 8])
    for t, point in zip(curve.reading.coordinate("t"), range(6), strict=True):
        wanted = evaluate(problem, curve.at(float(t)), "test")
        np.testing.assert_allclose(curve["loss"][1, :, point], wanted["loss"].numpy(), rtol=1e-4)
        np.testing.assert_allclose(curve["error"][1, :, point], 1 - wanted["accuracy"].numpy(), atol=0.011)
        line = first.with_theta(torch.lerp(first.theta, second.theta, float(t)))
        wanted = evaluate(problem, line, "test")["loss"].numpy()
        np.testing.assert_allclose(curve["line loss"][1, :, point], wanted, rtol=1e-4)


def test_the_mean_loss_on_the_curve_falls_and_more_on_than_anew() -> None:
    problem = _digits(16)
    recipe = tw.Recipe(Momentum(0.1), 80, 50)
    run = tw.train(problem, recipe, seeds=4)
    curve = bezier(problem, run.final[:2], run.final[2:], _recipe(Momentum(0.1), 60, 50), points=21)
    assert (curve["loss"][0].mean(1) < 0.7 * curve["line loss"][0].mean(1)).all()
    further = bezier(problem, run.final[:2], run.final[2:], _recipe(Momentum(0.1), 60, 50), points=21, start=curve)
    assert further.steps == 120
    assert (further["loss"][0].mean(1) < curve["loss"][0].mean(1)).all()


def test_a_curve_trained_on_sees_the_batches_and_t_that_come_next() -> None:
    problem = _digits()
    first, second = problem.initialize([0]), problem.initialize([1])
    short, long = tw.Recipe(SGD(0.1), 6, 20), tw.Recipe(SGD(0.1), 12, 20)
    half = bezier(problem, first, second, short, points=3)
    both = bezier(problem, first, second, short, points=3, start=half)
    once = bezier(problem, first, second, long, points=3)
    assert torch.equal(both.control[1].theta, once.control[1].theta)


@pytest.mark.parametrize("seed", [3, [3, 4, 5]])
def test_a_members_curve_alone_is_the_same_as_among_many(seed: Any) -> None:
    problem = _digits().__class__(lambda: tw.nets.mlp(64, 8, 10), _digits().data, dtype=torch.float64)
    first, second = problem.initialize([0, 1, 2]), problem.initialize([3, 4, 5])
    recipe = _recipe(Momentum(0.1), 8, 20)
    many = bezier(problem, first, second, recipe, seed=seed, points=5)
    own = seed if isinstance(seed, int) else seed[1:2]
    alone = bezier(problem, first[1], second[1], recipe, seed=own, points=5)
    torch.testing.assert_close(many.control[1].theta[1], alone.control[1].theta[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(many["loss"][:, 1], alone["loss"][:, 0], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_bends_lie_on_the_straight_line(kind: Any) -> None:
    problem = _digits()
    curve = kind(
        problem, problem.initialize([0]), problem.initialize([1]), tw.Recipe(SGD(0.0), 1, 20), bends=3, points=9
    )
    np.testing.assert_allclose(curve["loss"], curve["line loss"], rtol=1e-5)
    assert np.isnan(curve.share_of_line()).all()  # of two initializations the line is not above the higher end
    first, second = members(ring(), [[1.0, 0.0]]), members(ring(), [[-0.6, 0.8]])
    untrained = kind(ring(), first, second, tw.Recipe(SGD(0.0), 1), bends=3)
    np.testing.assert_allclose(untrained.share_of_line(), 1, rtol=1e-12)


@pytest.mark.parametrize("rule", [Momentum(0.1, weight_decay=1e-2), Adam(0.01)], ids=["momentum", "adam"])
def test_a_subspace_of_all_dimensions_is_no_subspace_and_a_small_one_holds_the_bends(rule: Any) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 2, 10), _digits().data, dtype=torch.float64)
    first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    recipe, size = _recipe(rule, 12, 20), problem.layout.parameters
    plain = bezier(problem, first, second, recipe, points=3)
    whole = bezier(problem, first, second, recipe, points=3, subspace=size)
    torch.testing.assert_close(whole.control[1].theta, plain.control[1].theta, rtol=1e-8, atol=1e-10)
    small = [bezier(problem, first, second, recipe, points=3, subspace=2, seed=seed) for seed in (0, 0, [0, 0], [1, 2])]
    moved = [one.control[1].theta - torch.lerp(first.theta, second.theta, 0.5) for one in small]
    again = bezier(problem, first, second, recipe, points=3, subspace=2, start=small[0])
    further = again.control[1].theta - torch.lerp(first.theta, second.theta, 0.5)
    together = torch.cat([moved[0], moved[2], further])
    assert int(torch.linalg.matrix_rank(together, rtol=1e-8)) == 2
    assert int(torch.linalg.matrix_rank(torch.cat([together, moved[3]]), rtol=1e-8)) == 4
    assert torch.equal(moved[0], moved[1])


def test_few_random_dimensions_join_nothing() -> None:
    problem = _digits(16)
    run = tw.train(problem, tw.Recipe(Momentum(0.1), 80, 50), seeds=4)
    recipe = _recipe(Momentum(0.1), 100, 50)
    free, held = (bezier(problem, run.final[:2], run.final[2:], recipe, points=21, subspace=d) for d in (None, 3))
    assert (free.share_of_line() < 0.4).all()
    assert (held.share_of_line() > 0.85).all()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_and_are_linear_in_between(kind: Any) -> None:
    t = torch.linspace(0, 1, 13, dtype=torch.float64)
    for controls in (2, 3, 6):
        weights = BASES[kind](t, controls)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(1), torch.ones_like(t))
        torch.testing.assert_close(weights @ torch.linspace(0, 1, controls, dtype=torch.float64), t)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_t_is_uniform_and_spread_as_its_name_says(sampling: str) -> None:
    draws = Draws([0, 1], 4, sampling, lambda t, controls: t.unsqueeze(-1), 1)
    t = torch.stack([draws(step) for step in range(1_200)])[..., 0]  # (steps, paths, draws)
    assert t.shape == (1_200, 2, 4)
    counts = torch.histc(t, 10, 0, 1)
    assert (counts - t.numel() / 10).abs().max() < 5 * (t.numel() / 10) ** 0.5
    strata = (4 * t.sort(-1).values).floor().long()
    if sampling != "uniform":
        assert (strata == torch.arange(4)).all()
    if sampling == "antithetic":
        torch.testing.assert_close(t.sort(-1).values + t.sort(-1).values.flip(-1), torch.ones_like(t))
    assert torch.equal(draws(3), Draws([0, 1], 4, sampling, lambda t, controls: t.unsqueeze(-1), 1)(3))
    assert not torch.equal(t[:, 0], t[:, 1])


def test_running_statistics_are_made_anew_at_every_point() -> None:
    problem = CASE["batchnorm"].problem()
    first, second = problem.initialize([0]), problem.initialize([1])
    curve = bezier(problem, first, second, _recipe(SGD(0.05), 5, 12), points=5, statistics_count=24)
    for t, point in zip(curve.reading.coordinate("t"), range(5), strict=True):
        settled = tw.evaluation.recomputed(problem, curve.at(float(t)), tw.Sample("train", 24))
        wanted = evaluate(problem, settled, "train")["loss"].numpy()
        np.testing.assert_allclose(curve["loss"][0, :, point], wanted, rtol=1e-4)


def test_a_diverged_curve_is_named_and_the_others_are_drawn() -> None:
    problem = of_function(lambda x: x.square().sum().exp(), 2)
    first, second = members(problem, [[0.1, 0.2], [40.0, 0.0]]), members(problem, [[0.3, 0.1], [0.0, 40.0]])
    curve = bezier(problem, first, second, _recipe(SGD(0.01), 5), points=5)
    assert curve.diverged_at.tolist() == [-1, 1]
    assert "Diverged, and frozen there: member 1 at step 1." in curve.reading.notes
    assert np.isfinite(curve["loss"][:, 0]).all()
    assert curve.figure().panels


def test_samples_have_standard_errors_and_figures_show_every_one() -> None:
    problem = _digits()
    on = [tw.Sample("train", 50), "test"]
    curve = bezier(
        problem, problem.initialize(2), problem.initialize([2, 3]), _recipe(SGD(0.1), 3, 20), on=on, points=5
    )
    assert list(curve.reading.coordinate("on")) == ["train", "test"]
    errors = curve.reading.standard_errors["loss"]
    assert (errors[0, :, 1:] > 0).all()
    assert (errors[1] == 0).all()
    figure = curve.figure()
    assert [panel.title for panel in figure.panels] == [
        "loss on the path",
        "error on the path",
        "control points of member 0",
    ]
    assert len(figure.panels[0].marks) == 2 + 4
    assert (curve.height("error", "test") == curve["error height"][1]).all()
    with pytest.raises(UsageError, match="There is no sample 'tests'"):
        curve.height("loss", "tests")


def test_the_plane_keeps_distances_of_the_ends_and_the_bend() -> None:
    problem = ring(5)
    first, second = members(problem, [[1.0, 0, 0, 0, 0]]), members(problem, [[0, 0, 1.0, 0, 0]])
    curve = bezier(problem, first, second, _recipe(Momentum(0.1), 40), points=5)
    marks = curve.plane().panels[0].marks
    bend, ends = marks[2], marks[3]
    assert math.hypot(ends.x[1] - ends.x[0], ends.y[1] - ends.y[0]) == pytest.approx(2**0.5)
    apart = float((curve.control[1].theta - first.theta).norm())
    assert math.hypot(bend.x[0] - ends.x[0], bend.y[0] - ends.y[0]) == pytest.approx(apart)


def test_what_cannot_be_meant_is_said() -> None:
    problem = _digits()
    first, second = problem.initialize(1), problem.initialize([1])
    recipe = tw.Recipe(SGD(0.1), 1, 20)
    curve = bezier(problem, first, second, recipe, points=3)
    for options, words in (
        ({"bends": 0}, "bends must be a whole number of at least 1"),
        ({"draws": 3, "sampling": "antithetic"}, "draws must be even; got 3"),
        ({"sampling": "random"}, "sampling is one of"),
        ({"subspace": 10**6}, "dimension up to"),
        ({"seed": [1, 2]}, "one for each of 1 members; got 2"),
        ({"start": curve, "bends": 2}, "start has 1 bends; got bends=2"),
    ):
        with pytest.raises(UsageError, match=words):
            bezier(problem, first, second, recipe, **options)
    with pytest.raises(UsageError, match="its ends are others"):
        bezier(problem, second, first, recipe, start=curve)
    with pytest.raises(UsageError, match="from t = 0 to t = 1"):
        curve.at(1.5)
