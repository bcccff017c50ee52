"""REPAIR: units have the statistics of the ends again, in every layer that is named, and nothing else changes."""

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import align, layers_repaired, repaired
from thalweg.errors import UsageError
from thalweg.population import Population, Problem
from thalweg.randomness import generator


def digits(*hidden: int, **options: object) -> Problem:
    data = tw.data.digits().subset(train=200, test=100)
    return Problem(lambda: tw.nets.mlp(64, *hidden, 10), data, dtype=torch.float64, **options)


def halfway(one: Population, other: Population) -> Population:
    return one.with_theta((one.theta + other.theta) / 2)


def units(problem: Problem, population: Population, path: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of what a layer of the first member gives on all training examples."""
    seen: list[Tensor] = []
    module = population.module(0).eval()
    module.get_submodule(path).register_forward_hook(lambda _, given, output: seen.append(output.detach()))
    module(problem.data.train.slice(0, len(problem.data.train))[0])
    (output,) = seen
    lines = output if output.ndim == 2 else output.movedim(1, -1).flatten(0, -2)
    return lines.mean(0), lines.std(0, correction=0)


@pytest.mark.parametrize("weights", [None, [0.25, 0.75]])
def test_every_unit_has_the_mean_statistics_of_the_ends(weights: list[float] | None) -> None:
    problem = digits(12, 8)
    ends = [problem.initialize([seed]) for seed in range(2)]
    found = repaired(problem, halfway(*ends), ends, weights=weights, on="train")
    first, second = weights or (0.5, 0.5)
    for path in layers_repaired(problem):
        each = [units(problem, end, path) for end in ends]
        for mine, a, b in zip(units(problem, found, path), *each, strict=True):
            torch.testing.assert_close(mine, first * a + second * b, rtol=1e-9, atol=1e-9)


def test_channels_of_convolutions_over_all_positions() -> None:
    class Convolutional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 6, 2, groups=2)
            self.out = nn.Linear(6, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.other(self.one(x).relu()).relu().mean((2, 3)))

    data = tw.data.digits(image=True).subset(train=40, test=10)
    problem = Problem(Convolutional, data, dtype=torch.float64)
    assert layers_repaired(problem) == ("one", "other")
    ends = [problem.initialize([seed]) for seed in range(2)]
    found = repaired(problem, halfway(*ends), ends, on="train")
    for path in ("one", "other"):
        each = [units(problem, end, path) for end in ends]
        for mine, a, b in zip(units(problem, found, path), *each, strict=True):
            torch.testing.assert_close(mine, (a + b) / 2, rtol=1e-9, atol=1e-9)


def test_a_network_that_is_its_own_average_stays() -> None:
    problem = digits(12, 8)
    one = problem.initialize(2)
    found = repaired(problem, one, [one, one])
    torch.testing.assert_close(found.theta, one.theta, rtol=1e-10, atol=1e-10)


def test_the_loss_of_aligned_averages_falls() -> None:
    problem = digits(32, 32)
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), steps=200, batch_size=50, evaluate=1), 6, progress=None)
    one, other = run.final[:3], run.final[3:]
    other = align(problem, one, other).population
    averaged = halfway(one, other)
    found = repaired(problem, averaged, [one, other])
    before, after = (tw.evaluate(problem, each, on="train")["loss"] for each in (averaged, found))
    assert (after < before).all()


def test_where_batch_normalization_follows_its_statistics_are_reset() -> None:
    data = tw.data.digits(image=True).subset(train=64, test=10)
    problem = Problem(lambda: tw.nets.resnet(4), data)
    assert layers_repaired(problem) == ()
    ends = [problem.initialize([seed]) for seed in range(2)]
    averaged = halfway(*ends)
    found = repaired(problem, averaged, ends, on="train")
    assert found.theta.equal(averaged.theta)
    again = tw.evaluation.recomputed(problem, averaged, on="train")
    assert all(buffer.equal(again.buffers[name]) for name, buffer in found.buffers.items())


def test_layers_that_are_tied_or_without_bias_or_last_are_left_alone() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain, self.bare = nn.Linear(64, 8), nn.Linear(8, 8, bias=False)
            self.twice, self.tied, self.normed = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.also, self.norm, self.out = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)
            self.also.weight = self.tied.weight

        def forward(self, x: Tensor) -> Tensor:
            h = self.bare(self.plain(x).relu()).relu()
            h = self.also(self.tied(self.twice(self.twice(h).relu()).relu()).relu()).relu()
            return self.out(self.norm(self.normed(h)).relu())

    data = tw.data.digits().subset(train=40, test=10)
    assert layers_repaired(Problem(Mixed, data)) == ("plain",)


def test_masked_parameters_stay_zero() -> None:
    problem = digits(12)
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.5
    ends = [problem.initialize([seed]).with_mask(mask) for seed in range(2)]
    found = repaired(problem, halfway(*ends), ends)
    assert (found.theta[:, ~mask] == 0).all()


def test_units_that_never_change_are_not_divided_by_zero() -> None:
    problem = digits(12)
    one, other = problem.initialize([0]), problem.initialize([1])
    averaged = halfway(one, other)
    theta = averaged.theta.clone()
    problem.layout.views(theta)["hidden1.weight"][:, 3] = 0
    found = repaired(problem, averaged.with_theta(theta), [one, other])
    assert found.theta.isfinite().all()


def test_what_is_refused() -> None:
    problem = digits(12)
    two = problem.initialize(2)
    with pytest.raises(UsageError, match="sum to 1"):
        repaired(problem, two, [two, two], weights=[0.5, 0.6])
    with pytest.raises(UsageError, match="sum to 1"):
        repaired(problem, two, [two, two], weights=[1.0])
    with pytest.raises(UsageError, match="as many members"):
        repaired(problem, two, [two[:1], two[:1]])
