"""Directions in units of the weights, and between populations."""

import pytest
import torch
from cases import CASE, X, Y
from torch import Tensor, nn

import thalweg as tw
from thalweg import landscape
from thalweg.errors import UsageError
from thalweg.landscape import directions
from thalweg.randomness import generator


def test_populations_that_no_line_joins() -> None:
    def half_frozen() -> nn.Module:
        model = tw.nets.mlp(4, 6, 3)
        model.output.weight.requires_grad_(requires_grad=False)
        return model

    problem = tw.Problem(half_frozen, (X, Y))
    start, end = problem.initialize([0]), problem.initialize([1])
    with pytest.raises(UsageError, match=r"frozen parameter 'output\.weight' differs, so between has no weighted sums"):
        landscape.line(problem, start, to=end)
    other = tw.Problem(lambda: tw.nets.mlp(4, 3, 3), (X, Y))
    with pytest.raises(UsageError, match="layouts differ"):
        landscape.line(problem, start, to=other.initialize(1))
    with pytest.raises(UsageError, match="as many members everywhere; got 1 and 2"):
        directions.between(start, problem.initialize(2))
    with pytest.raises(UsageError, match="between anchor must be a Population"):
        directions.between(start, 3)  # type: ignore[arg-type]


def test_directions_of_masked_members_are_as_long_as_their_weights() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(2)
    mask = torch.rand(population.theta.shape, generator=generator(0, "mask")) < 0.4
    masked = population.with_mask(mask)
    whole = directions.random(masked, normalization="member")
    assert not whole[~mask].any()
    torch.testing.assert_close(whole.norm(dim=1), masked.theta.norm(dim=1))
    drawn, weights = (problem.layout.views(one) for one in (directions.random(masked), masked.theta))
    for entry in problem.layout:
        if len(entry.shape) > 1:
            torch.testing.assert_close(drawn[entry.name].norm(dim=2), weights[entry.name].norm(dim=2))


def test_single_numbers_and_wide_normalization_layers_are_vectors() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.norm, self.out = nn.Parameter(torch.tensor(-3.0)), nn.LayerNorm((2, 2)), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.norm(x.view(-1, 2, 2)).flatten(1) * self.scale)

    problem = tw.Problem(Parts, (X, Y), dtype=torch.float64)
    population = problem.initialize([0, 1, 2])
    population.theta[:, problem.layout["scale"].start] = torch.tensor([-3.0, 0.5, 0.0], dtype=torch.float64)
    still = problem.layout.views(directions.random(population))
    assert not still["norm.weight"].any()
    scaled = problem.layout.views(directions.random(population, one_dimensional="tensor"))
    assert scaled["scale"].abs().tolist() == pytest.approx([3.0, 0.5, 0.0])
    torch.testing.assert_close(scaled["norm.weight"].flatten(1).norm(dim=1), torch.full((3,), 2.0, dtype=torch.float64))


def test_filters_have_the_length_of_the_weights() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.conv = nn.Embedding(5, 4), nn.Conv2d(2, 3, 3)
            self.up, self.linear, self.norm = nn.ConvTranspose2d(3, 2, 2), nn.Linear(4, 2), nn.LayerNorm(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.linear(self.embed(x).mean(1))) + self.up(self.conv(torch.ones(1, 2, 5, 5))).sum()

    tokens = torch.arange(10).view(5, 2) % 5
    problem = tw.Problem(Parts, (tokens, torch.arange(5) % 2))
    module = problem.initialize(1).module(0)
    with torch.no_grad():
        module.conv.weight[1] = 0
    population = problem.population(module)
    dims = {"embed.weight": (1,), "conv.weight": (1, 2, 3), "up.weight": (0, 2, 3), "linear.weight": (1,)}
    found = directions.random(population, normalization="filter")
    for entry in population.layout:
        part, weight = (matrix[0, entry.columns].view(entry.shape) for matrix in (found, population.theta))
        if entry.name in dims:
            over = dims[entry.name]
            lengths = [torch.linalg.vector_norm(tensor, dim=over) for tensor in (part, weight)]
            torch.testing.assert_close(*lengths, rtol=1e-5, atol=1e-7)
        else:
            assert not part.any()
    scaled = directions.random(population, normalization="layer", one_dimensional="tensor")
    copied = directions.random(population, one_dimensional="copy")
    for entry in population.layout:
        theta = population.theta[0, entry.columns]
        assert scaled[0, entry.columns].norm() == pytest.approx(float(theta.norm()), rel=1e-5, abs=1e-7)
        if len(entry.shape) == 1:
            assert torch.equal(copied[0, entry.columns], theta)
    first, second = directions.orthogonal([found, scaled])
    assert abs(float((first * second).sum())) < 1e-5 * float(first.norm() * second.norm())
    assert float(second.norm()) == pytest.approx(float(scaled.norm()), rel=1e-5)
    with pytest.raises(UsageError, match="Direction 2 is zero or lies along"):
        directions.orthogonal([found, 2 * found])


@pytest.mark.parametrize("normalization", directions.NORMALIZATIONS)
@pytest.mark.parametrize("one_dimensional", directions.ONE_DIMENSIONAL)
def test_a_number_is_a_tensor_of_length_one(normalization: str, one_dimensional: str) -> None:
    problem = CASE["number"].problem(dtype=torch.float64)
    population = problem.initialize(2)
    way = directions.random(population, normalization=normalization, one_dimensional=one_dimensional)
    number = population.layout.views(way)["scale"]
    assert number.shape == (2,)
    if normalization in ("filter", "layer"):
        assert number.abs().tolist() == [0 if one_dimensional == "zero" else 1.5] * 2


def test_directions_are_those_of_the_seeds_whoever_else_is_there() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    population = problem.initialize([7, 7, 8])
    found = directions.random_of_each(population, [4, 5, 6], number=1)
    assert torch.equal(directions.random_of_each(population[[1]], [5], number=1), found[[1]])
    assert torch.equal(found[[0]], directions.random(population[[0]], seed=4, number=1))
    alike = torch.nn.functional.cosine_similarity(found[0], found[1], dim=0)
    assert abs(alike) < 0.2
    drawn, weights = (problem.layout.views(one)["hidden1.weight"].norm(dim=2) for one in (found, population.theta))
    torch.testing.assert_close(drawn, weights)
    with pytest.raises(UsageError, match="a seed for each of 3 members; got 2"):
        directions.random_of_each(population, [4, 5])
