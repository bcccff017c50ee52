"""Rescaling: outputs stay to rounding in float64, where they should, and what cannot be meant is said."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.evaluation import recomputed
from thalweg.population import rescaled
from thalweg.randomness import generator


class Images(nn.Module):
    """Convolutions of both kinds, pooling and a linear layer on what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 5, 3, padding=1), nn.ConvTranspose2d(5, 3, 2, stride=2)
        self.third, self.output = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Linear(4 * 4 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        x = nn.functional.leaky_relu(self.second(x))
        return self.output(nn.functional.avg_pool2d(self.third(x), 2).relu().flatten(1))


def _outputs(population: tw.Population, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([population.module(member).eval()(inputs) for member in range(len(population))])


def _factors(*shape: int, number: int = 0) -> Tensor:
    return 10 ** (2 * torch.rand(*shape, generator=generator(0, "factors", number), dtype=torch.float64) - 1)


X = torch.randn(20, 1, 8, 8, generator=generator(0, "x"), dtype=torch.float64)
Y = torch.arange(20) % 3


def _images() -> tw.Problem:
    return tw.Problem(Images, (X, Y), dtype=torch.float64)


@pytest.mark.parametrize(
    ("layer", "reader", "units"),
    [("first", "second", 5), ("second", "third", 3), ("third", "output", 4)],
)
@pytest.mark.parametrize("columns", ["shared", "of each member", "of each unit"])
def test_outputs_stay_through_convolutions_pooling_and_flattening(
    layer: str, reader: str, units: int, columns: str
) -> None:
    problem = _images()
    population = problem.initialize(2)
    before, theta = _outputs(population, X), population.theta.clone()
    factors = {"shared": _factors(units), "of each member": _factors(2, 1), "of each unit": _factors(2, units)}[columns]
    other = rescaled(population, layer, factors, undone_by=reader)
    torch.testing.assert_close(_outputs(other, X), before, rtol=1e-11, atol=1e-12)
    assert torch.equal(population.theta, theta)
    moved = other.theta != theta
    for entry in problem.layout:  # these tensors and no others
        ours = entry.name.partition(".")[0] == layer or entry.name == f"{reader}.weight"
        assert bool(moved[:, entry.columns].any()) == ours, entry.name


def test_the_units_themselves_are_times_the_factors() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 3), (torch.randn(9, 4), torch.arange(9) % 3), dtype=torch.float64)
    population, factors = problem.initialize(3), _factors(3, 6)
    other = rescaled(population, "hidden1", factors, undone_by="output")
    for name in ("hidden1.weight", "hidden1.bias"):
        was, now = (one.layout.views(one.theta)[name] for one in (population, other))
        torch.testing.assert_close(now, was * factors.view(3, 6, *(1 for _ in was.shape[2:])))


def test_batch_normalization_undoes_factors_by_itself() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=60), dtype=torch.float64)
    population = recomputed(problem, problem.initialize(2))
    inputs = problem.data.train.inputs
    other = rescaled(population, "stem.0", 3 + _factors(2, 4), undone_by=None)
    stays = recomputed(problem, other)
    torch.testing.assert_close(_outputs(stays, inputs), _outputs(population, inputs), rtol=1e-2, atol=1e-3)  # eps
    assert (_outputs(other, inputs) - _outputs(population, inputs)).abs().max() > 0.1  # old statistics do not fit


def test_where_units_are_not_homogeneous_the_function_changes() -> None:
    """The contract is the caller's: nothing here looks at activations."""
    model = lambda: tw.nets.mlp(4, 6, 3, activation="tanh")  # noqa: E731
    problem = tw.Problem(model, (torch.randn(9, 4), torch.arange(9) % 3), dtype=torch.float64)
    population, inputs = problem.initialize(1), problem.data.train.inputs
    other = rescaled(population, "hidden1", _factors(6), undone_by="output")
    assert (_outputs(other, inputs) - _outputs(population, inputs)).abs().max() > 0.01


def test_a_mask_and_buffers_stay() -> None:
    problem = _images()
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.5
    population = problem.initialize(1).with_mask(mask)
    other = rescaled(population, "first", _factors(5), undone_by="second")
    assert torch.equal(other.mask, population.mask)
    assert not other.theta[~other.mask].any()
    torch.testing.assert_close(_outputs(other, X), _outputs(population, X), rtol=1e-11, atol=1e-12)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())


@pytest.mark.parametrize(
    ("layer", "factors", "reader", "sentence"),
    [
        ("last", torch.ones(5), None, "There is no layer 'last'"),
        (
            "first",
            torch.ones(4),
            "second",
            r"rescaled factors of 'first' must be \(5,\), \(2, 5\) or \(2, 1\); got \(4,\)",
        ),
        ("first", torch.tensor([1.0, 1, 1, 1, -1]), "second", "must be above 0 and finite, .*; got -1"),
        ("first", 2.0, "second", "rescaled factors must be a tensor"),
        ("first", torch.ones(5), "third", "'third' reads 3 inputs, which are not the 5 units of 'first'"),
    ],
)
def test_what_cannot_be_meant(layer: str, factors: Any, reader: str | None, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        rescaled(_images().initialize(2), layer, factors, undone_by=reader)


def test_tied_weights_are_refused() -> None:
    problem = tw.Problem(Tied, (torch.randn(6, 4), torch.arange(6) % 4))
    with pytest.raises(UsageError, match=r"The weights of 'one' are tied to 'two\.weight'"):
        rescaled(problem.initialize(1), "one", torch.ones(4), undone_by=None)


def test_layers_of_a_chain_are_rescaled_one_after_the_other() -> None:
    population = tw.Population.initialize(lambda: tw.nets.mlp(6, 5, 4, 3), [0, 1])
    factors = torch.tensor([[2.0, 0.5], [1.0, 4.0]])
    found = population.layout.views(tw.population.layers_rescaled(population, factors).theta)
    before = population.layout.views(population.theta)
    first, second = (factors[:, place, None, None] for place in (0, 1))
    torch.testing.assert_close(found["hidden1.weight"], first * before["hidden1.weight"])
    torch.testing.assert_close(found["hidden2.weight"], second / first * before["hidden2.weight"])
    torch.testing.assert_close(found["output.weight"], before["output.weight"] / second)
    torch.testing.assert_close(found["output.bias"], before["output.bias"])
    with pytest.raises(UsageError, match=r"\(members, 2 hidden layers\); got \(2, 3\)"):
        tw.population.layers_rescaled(population, torch.ones(2, 3))
