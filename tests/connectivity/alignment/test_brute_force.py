"""Against all permutations of few units: exact for one group, never better than the best for two."""

import itertools

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.connectivity import StraightThrough, align, barrier
from thalweg.population import Population, Problem
from thalweg.randomness import generator

UNITS = 5


def problem_of(*hidden: int) -> Problem:
    x = torch.randn(64, 3, generator=generator(0, "x"), dtype=torch.float64)
    return Problem(lambda: tw.nets.mlp(3, *hidden, 2), (x, (x[:, 0] > 0).long()), dtype=torch.float64)


def products(problem: Problem, reference: Population, member: Population) -> dict[tuple[tuple[int, ...], ...], float]:
    """<reference, P member> by the permutations of all groups."""
    groups, found = problem.structure.groups, {}
    for orders in itertools.product(*(itertools.permutations(range(one.units)) for one in groups)):
        other = member
        for group, order in zip(groups, orders, strict=True):
            other = problem.structure.permuted(other, group, torch.tensor(order))
        found[orders] = float((other.theta * reference.theta).sum())
    return found


@pytest.mark.parametrize("seed", range(6))
def test_one_group_is_matched_exactly(seed: int) -> None:
    problem = problem_of(UNITS)
    reference, member = problem.initialize([seed]), problem.initialize([seed + 100])
    best = max(products(problem, reference, member).values())
    found = align(problem, reference, member).population
    assert float((found.theta * reference.theta).sum()) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_two_groups_end_where_neither_alone_could_gain(seed: int) -> None:
    problem = problem_of(4, 4)
    reference, member = problem.initialize([seed]), problem.initialize([seed + 100])
    every = products(problem, reference, member)
    found = align(problem, reference, member)
    mine = tuple(tuple(found.permutations[group.name][0].tolist()) for group in problem.structure.groups)
    value = every[mine]
    assert float((found.population.theta * reference.theta).sum()) == pytest.approx(value)
    assert value <= max(every.values()) + 1e-12
    assert value >= every[tuple(range(4)), tuple(range(4))] - 1e-12
    beside = [one for orders, one in every.items() if orders[0] == mine[0] or orders[1] == mine[1]]
    assert value == pytest.approx(max(beside), rel=1e-12)


class TwoTwoOne(nn.Module):
    """2-2-2-1 with leaky units, as in the counter-example of Ainsworth et al., 2022, section 5."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.bent, self.again = nn.PReLU(init=0.01), nn.PReLU(init=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.again(self.second(self.bent(self.first(x)))))[:, 0]


def network(first: list[list[float]], bias: list[float], second: list[list[float]], other: list[float]) -> TwoTwoOne:
    """Of kernels (in, out), as they were published."""
    net = TwoTwoOne()
    with torch.no_grad():
        net.first.weight.copy_(torch.tensor(first).T)
        net.first.bias.copy_(torch.tensor(bias))
        net.second.weight.copy_(torch.tensor(second).T)
        net.second.bias.copy_(torch.tensor(other))
        net.out.weight.copy_(torch.tensor([[-1.0, -1.0]]))
        net.out.bias.zero_()
    return net


@pytest.mark.parametrize("method", ["weights", "activations", StraightThrough(steps=20)], ids=str)
def test_no_permutation_removes_the_barrier_of_the_published_counter_example(method: str | StraightThrough) -> None:
    x = 2 * torch.rand(1_024, 2, generator=generator(0, "square")) - 1
    y = ((x[:, 0] >= 0) & (x[:, 1] >= 0)).float()
    problem = Problem(TwoTwoOne, (x, y), "logistic")
    one = problem.population(network([[1, 0], [0, -1]], [1, 0], [[-1, 0], [0, 1]], [1, 0]))
    other = problem.population(network([[-1, 0], [0, 1]], [0, 1], [[1, 0], [0, -1]], [0, 1]))
    assert min(tw.evaluate(problem, end)["accuracy"].item() for end in (one, other)) > 0.99
    heights = []
    for orders in itertools.product([(0, 1), (1, 0)], repeat=2):
        swapped = other
        for group, order in zip(problem.structure.groups, orders, strict=True):
            swapped = problem.structure.permuted(swapped, group, torch.tensor(order))
        heights.append(float(barrier(problem, one, swapped)["error barrier"].max()))
    assert min(heights) > 0.1
    found = align(problem, one, other, method)
    assert float(barrier(problem, one, found.population)["error barrier"].max()) >= min(heights) - 1e-12
