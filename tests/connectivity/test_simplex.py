"""Simplexes: volumes by Cayley and Menger, gradients by autograd, loss where it is known, corners to the bit."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from connectivity.planted import members, of_function
from torch import Tensor

import thalweg as tw
from thalweg.connectivity import Found, simplex
from thalweg.connectivity.simplex_volume import VolumeGradient, log_volume
from thalweg.errors import UsageError
from thalweg.evaluation import evaluate
from thalweg.optim import SGD, Momentum
from thalweg.randomness import generator


def _cayley_menger(vertices: Tensor) -> float:
    """Vol^2 = (-1)^(n+1) det(D) / (2^n n!^2), D the squared distances bordered by ones."""
    n = len(vertices) - 1
    bordered = torch.ones(n + 2, n + 2, dtype=torch.float64)
    bordered[0, 0] = 0
    bordered[1:, 1:] = torch.cdist(vertices, vertices) ** 2
    squared = (-1) ** (n + 1) * torch.linalg.det(bordered) / (2**n * math.factorial(n) ** 2)
    return float(squared.sqrt())


@pytest.mark.parametrize("n", [1, 2, 4])
def test_volumes_are_those_of_cayley_and_menger(n: int) -> None:
    vertices = torch.randn(n + 1, 7, generator=generator(n, "vertices"), dtype=torch.float64)
    assert float(log_volume(vertices).exp()) == pytest.approx(_cayley_menger(vertices), rel=1e-9)
    corner = torch.cat([torch.zeros(1, n), torch.eye(n)])
    assert float(log_volume(corner).exp()) == pytest.approx(1 / math.factorial(n))


@pytest.mark.parametrize("fixed", [1, 3])
def test_the_volume_grows_by_the_gradient_of_autograd(fixed: int) -> None:
    control = torch.randn(fixed + 2, 2, 6, generator=generator(0, "control"), dtype=torch.float64)
    rows = control.clone().requires_grad_()
    each = torch.stack([log_volume(torch.stack([rows[i], *rows[fixed:]], 1)) for i in range(fixed)])
    total = each.logsumexp(0).sum()
    wanted = -0.3 * torch.autograd.grad(total, rows)[0][fixed:]
    found = Found(0, torch.empty(0), torch.empty(0), control, torch.zeros(2, 2, 6, dtype=torch.float64))
    VolumeGradient(0.3, fixed)(found)
    torch.testing.assert_close(found.gradient, wanted)


def test_without_a_loss_the_volume_grows_and_with_one_it_stops_where_that_begins() -> None:
    """A bowl that is flat up to the radius 1."""
    problem = of_function(lambda x: 10 * (x.square().sum() - 1).clamp_min(0) ** 2, 3)
    corner = members(problem, [[0.1, 0.1, 0.1]])
    recipe = tw.Recipe(SGD(0.04), 500)
    found = simplex(problem, [corner], recipe, trained=3, volume=0.05, draws=4)
    assert found["log volume"][0, 0] > found["log volume at first"][0, 0] + math.log(100)
    radii = torch.stack([one.theta.norm() for one in found.vertices[1:]])
    assert (radii > 0.8).all()
    assert (radii < 1.6).all()
    assert np.quantile(found["loss"], 0.9) < 0.1


def test_simplexes_join_corners_of_low_loss_and_keep_them_to_the_bit() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=200, test=100))
    run = tw.train(problem, tw.Recipe(Momentum(0.1), 80, 50), seeds=3)
    corners = [run.final[member] for member in range(3)]
    found = simplex(problem, corners, tw.Recipe(Momentum(0.1), 150, 50), trained=1, points=16, volume=1e-4)
    middle = evaluate(problem, found.vertices[0].with_theta(run.final.theta.mean(0, keepdim=True)), "train")["loss"]
    assert found["loss"].shape == (2, 1, 3, 16)
    assert found["loss"][0].max() < 0.5 * float(middle)
    wanted = evaluate(problem, run.final, "train")["loss"].numpy()
    np.testing.assert_allclose(found["vertex loss"][0, 0, :3], wanted, rtol=1e-6)
    assert all(torch.equal(one.theta, two.theta) for one, two in zip(found.vertices, corners, strict=False))
    there = evaluate(problem, found.at(found.weights[1, 5]), "train")["loss"]
    assert found["loss"][0, 0, 1, 5] == pytest.approx(float(there), rel=1e-4)
    assert found.figure().panels
    networks = found.drawn(7)
    assert len(networks) == 7
    assert float(evaluate(problem, networks, "train")["loss"].max()) < 0.5 * float(middle)


def test_points_are_uniform_on_the_simplex_and_have_one_given_corner() -> None:
    problem = of_function(lambda x: (0 * x).sum(), 2)
    corners = [members(problem, [[float(k), 1.0]]) for k in range(2)]
    weights = simplex(problem, corners, tw.Recipe(SGD(0.0), 1), trained=2, points=4_000, volume=0).weights
    assert weights.shape == (2, 4_000, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4_000, dtype=torch.float64))
    for number in range(2):
        assert (weights[number, :, 1 - number] == 0).all()
        own = weights[number][:, [number, 2, 3]]
        # Of a uniform point of a triangle each weight has the distribution 1 - (1 - a)^2.
        for share in own.T:
            u = (1 - (1 - share) ** 2).sort().values
            assert (u - torch.linspace(0, 1, 4_000)).abs().max() < 1.63 / 4_000**0.5


def test_a_members_simplex_alone_is_the_same_as_among_many() -> None:
    problem = tw.Problem(
        lambda: tw.nets.mlp(64, 4, 10), tw.data.digits().subset(train=60, test=20), dtype=torch.float64
    )
    corners, recipe = [problem.initialize([0, 1]), problem.initialize([2, 3])], tw.Recipe(Momentum(0.1), 5, 20)
    options: dict[str, Any] = {"trained": 2, "points": 4}
    many = simplex(problem, corners, recipe, seed=[5, 6], **options)
    alone = simplex(problem, [one[1] for one in corners], recipe, seed=[6], **options)
    torch.testing.assert_close(many.vertices[3].theta[1], alone.vertices[3].theta[0], rtol=1e-9, atol=1e-11)


def test_what_cannot_be_meant_is_said() -> None:
    problem = of_function(lambda x: x.square().sum(), 2)
    corner = members(problem, [[1.0, 1.0]])
    recipe = tw.Recipe(SGD(0.1), 1)
    with pytest.raises(UsageError, match="list of Populations"):
        simplex(problem, corner, recipe)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="trained must be a whole number of at least 1"):
        simplex(problem, [corner], recipe, trained=0)
    with pytest.raises(UsageError, match="at least 0; got -1"):
        simplex(problem, [corner], recipe, volume=-1)
    found = simplex(problem, [corner], recipe, points=2)
    with pytest.raises(UsageError, match="sum to 1"):
        found.at([1.0, 1.0])
