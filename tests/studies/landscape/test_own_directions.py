"""Directions of each network's own: whose they are, and how long."""

import torch

import thalweg as tw
from thalweg.studies.landscape import own_directions


def test_directions_are_those_of_the_seeds_whoever_else_is_there() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    population = problem.initialize([7, 7, 8])
    found = own_directions.of_each(population, [4, 5, 6], 1)
    assert torch.equal(own_directions.of_each(population[[1]], [5], 1), found[[1]])
    assert torch.equal(found[[0]], tw.landscape.directions.random(population[[0]], seed=4, number=1))
    alike = torch.nn.functional.cosine_similarity(found[0], found[1], dim=0)
    assert abs(alike) < 0.2
    drawn, weights = (problem.layout.views(one)["hidden1.weight"].norm(dim=2) for one in (found, population.theta))
    torch.testing.assert_close(drawn, weights)
