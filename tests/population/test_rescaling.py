"""Rescaling: outputs stay to rounding in float64, readers are found, and what would change the function is named."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.evaluation import recomputed
from thalweg.population import layers_rescaled, rescaled, rescaled_before_norm
from thalweg.randomness import generator


class Images(nn.Module):
    """Convolutions of several kinds, pooling and a linear layer on what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 5, 3, padding=1), nn.ConvTranspose2d(5, 3, 2, stride=2)
        self.alone, self.third = nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.output = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        x = self.alone(nn.functional.leaky_relu(self.second(x)))
        return self.output(nn.functional.avg_pool2d(self.third(x), 2).relu().flatten(1))


def _outputs(population: tw.Population, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([population.module(member).eval()(inputs) for member in range(len(population))])


def _factors(*shape: int, number: int = 0) -> Tensor:
    return 10 ** (2 * torch.rand(*shape, generator=generator(0, "factors", number), dtype=torch.float64) - 1)


X = torch.randn(20, 1, 8, 8, generator=generator(0, "x"), dtype=torch.float64)
Y = torch.arange(20) % 3


@pytest.fixture(scope="module")
def images() -> tw.Problem:
    return tw.Problem(Images, (X, Y), dtype=torch.float64)


@pytest.mark.parametrize(
    ("layer", "moves", "units"),
    [
        ("first", {"first.weight", "first.bias", "second.weight"}, 5),
        ("second", {"second.weight", "second.bias", "alone.bias", "third.weight"}, 3),
        ("third", {"third.weight", "output.weight"}, 4),
    ],
)
@pytest.mark.parametrize("columns", ["shared", "of each member", "of each unit"])
def test_outputs_stay_through_convolutions_pooling_and_flattening(
    images: tw.Problem, layer: str, moves: set[str], units: int, columns: str
) -> None:
    population = images.initialize(2)
    before, theta = _outputs(population, X), population.theta.clone()
    factors = {"shared": _factors(units), "of each member": _factors(2, 1), "of each unit": _factors(2, units)}[columns]
    other = rescaled(images, population, layer, factors)
    torch.testing.assert_close(_outputs(other, X), before, rtol=1e-12, atol=1e-12)
    assert torch.equal(population.theta, theta)
    moved = other.theta != theta
    for entry in images.layout:  # these tensors and no others
        assert bool(moved[:, entry.columns].any()) == (entry.name in moves), entry.name


def test_the_units_themselves_are_times_the_factors() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 3), (torch.randn(9, 4), torch.arange(9) % 3), dtype=torch.float64)
    population, factors = problem.initialize(3), _factors(3, 6)
    other = rescaled(problem, population, "hidden1", factors)
    for name in ("hidden1.weight", "hidden1.bias"):
        was, now = (one.layout.views(one.theta)[name] for one in (population, other))
        torch.testing.assert_close(now, was * factors.view(3, 6, *(1 for _ in was.shape[2:])))


def test_batch_normalization_undoes_factors_up_to_its_eps() -> None:
    data = tw.data.digits(image=True).subset(train=60)
    problem = tw.Problem(lambda: tw.nets.resnet(4), data, dtype=torch.float64)
    population = recomputed(problem, problem.initialize(2))
    inputs, factors = problem.data.train.inputs, 3 + _factors(2, 4)
    other = rescaled_before_norm(problem, population, "stem.0", factors)
    again = recomputed(problem, other)
    for name in ("stem.1.running_mean", "stem.1.running_var"):  # follow as they would if made anew
        torch.testing.assert_close(other.buffers[name], again.buffers[name], rtol=1e-9, atol=1e-12)
        assert not torch.equal(population.buffers[name], other.buffers[name])
    for member in range(2):  # exactly the function with eps / c^2
        module, plain = other.module(member).eval(), population.module(member).eval()
        mean, var = plain.stem[1].running_mean, plain.stem[1].running_var
        z = plain.stem[0](inputs)
        c = factors[member].view(-1, 1, 1)
        exact = (z - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + plain.stem[1].eps / c**2).sqrt()
        torch.testing.assert_close(module.stem(inputs), exact, rtol=1e-12, atol=1e-12)


def _model(build: Callable[[], nn.Module], width: int = 4) -> tw.Problem:
    return tw.Problem(build, (torch.randn(9, width), torch.arange(9) % 3), dtype=torch.float64)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.output = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.output(x + self.inner(x).relu())


class Twice(nn.Module):
    """The same layer a second time: the units that it reads are those it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.output = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.again(self.again(self.first(x).relu()).relu()).relu())


class Decayed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.output = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.first(x).relu()) + self.first.weight.square().sum()


def _sequence(*middle: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, 6), *middle, nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("build", "layer", "units", "operation"),
    [
        (_sequence(nn.Tanh()), "0", 6, "'tanh' in '1'"),
        (_sequence(nn.GELU()), "0", 6, "'gelu' in '1'"),
        (_sequence(nn.LayerNorm(6), nn.ReLU()), "0", 6, "'layer_norm' in '1'"),
        (_sequence(nn.BatchNorm1d(6), nn.ReLU()), "0", 6, "'batch_norm' in '1'"),
        (_sequence(nn.Softmax(-1)), "0", 6, "'softmax' in '1'"),
        (_sequence(nn.ReLU6()), "0", 6, "'hardtanh' in '1'"),
        (Residual, "first", 5, r"'add' \(.*test_rescaling.py:\d+\) adds to them what is not times the factors"),
        (Residual, "inner", 5, r"'add' \(.*\) adds to them what is not times the factors"),
        (Twice, "first", 5, r"'linear' in 'again' \(.*\) reads 'again.weight', which another operation needs scaled"),
        (Decayed, "first", 5, r"'square' \(.*\) reads these weights in a way that is not known to scale"),
    ],
)
def test_where_the_function_would_change_the_operation_is_named(
    build: Callable[[], nn.Module], layer: str, units: int, operation: str
) -> None:
    problem = _model(build)
    with pytest.raises(UsageError, match=f"Factors on the units of '.*' would change the function: {operation}"):
        rescaled(problem, problem.initialize(1), layer, _factors(units))


def test_a_stream_is_homogeneous_where_all_that_writes_it_is_scaled() -> None:
    """Scaling one branch changes the function, scaling all of them does not."""
    structure = _model(Residual).structure
    assert [(group.name, structure.obstacle(group)) for group in structure.groups] == [("first: stream", "")]
    (group,) = structure.groups
    powers = structure.powers(group, ["first.weight", "inner.weight"])
    assert powers == {
        ("first.weight", 0): 1,
        ("first.bias", 0): 1,
        ("inner.weight", 1): -1,
        ("inner.weight", 0): 1,
        ("inner.bias", 0): 1,
        ("output.weight", 1): -1,
    }


def test_of_a_transformer_without_norms_all_but_scores_is_homogeneous() -> None:
    net = tw.nets.modular_transformer(5, width=8, heads=2)
    problem = tw.Problem(lambda: net, tw.data.modular(5, encoding="tokens"), dtype=torch.float64)
    found = {group.name: problem.structure.obstacle(group) for group in problem.structure.groups}
    assert {name for name, why in found.items() if not why} == {
        "embedding: stream",
        "blocks.0.attention.value: value 0",
        "blocks.0.attention.value: value 1",
        "blocks.0.expand",
    }
    assert "scaled_dot_product_attention" in found["blocks.0.attention.query: query-key 0"]


def test_a_mask_and_buffers_stay(images: tw.Problem) -> None:
    mask = torch.rand(images.layout.parameters, generator=generator(0, "mask")) < 0.5
    population = images.initialize(1).with_mask(mask)
    other = rescaled(images, population, "first", _factors(5))
    assert torch.equal(other.mask, population.mask)
    assert not other.theta[~other.mask].any()
    torch.testing.assert_close(_outputs(other, X), _outputs(population, X), rtol=1e-12, atol=1e-12)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())


@pytest.mark.parametrize(
    ("layer", "factors", "sentence"),
    [
        ("last", torch.ones(5), "There is no layer 'last'"),
        ("first", torch.ones(4), r"rescaled factors of 'first' must be \(5,\), \(2, 5\) or \(2, 1\); got \(4,\)"),
        ("first", torch.tensor([1.0, 1, 1, 1, -1]), "must be above 0 and finite, .*; got -1"),
        ("first", 2.0, "rescaled factors must be a tensor"),
        ("output", torch.ones(3), "The units of 'output' cannot be rescaled: the model's output"),
    ],
)
def test_what_cannot_be_meant(images: tw.Problem, layer: str, factors: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        rescaled(images, images.initialize(2), layer, factors)


def test_that_units_are_several_groups_is_said_before_the_factors() -> None:
    net = tw.nets.modular_transformer(5, width=8, heads=2)
    problem = tw.Problem(lambda: net, tw.data.modular(5, encoding="tokens"))
    with pytest.raises(UsageError, match="cannot be rescaled: they are several groups, which take part"):
        rescaled(problem, problem.initialize(1), "blocks.0.attention.value", torch.ones(3))


def test_tied_weights_whose_units_are_outputs_are_refused() -> None:
    problem = tw.Problem(Tied, (torch.randn(6, 4), torch.arange(6) % 4))
    with pytest.raises(UsageError, match="The units of 'one' cannot be rescaled: the model's input 'x'"):
        rescaled(problem, problem.initialize(1), "one", torch.ones(4))


def test_layers_of_a_chain_are_rescaled_one_after_the_other() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(6, 5, 4, 3), (torch.randn(9, 6), torch.arange(9) % 3))
    population = problem.initialize(2)
    factors = torch.tensor([[2.0, 0.5], [1.0, 4.0]])
    found = population.layout.views(layers_rescaled(problem, population, factors).theta)
    before = population.layout.views(population.theta)
    first, second = (factors[:, place, None, None] for place in (0, 1))
    torch.testing.assert_close(found["hidden1.weight"], first * before["hidden1.weight"])
    torch.testing.assert_close(found["hidden2.weight"], second / first * before["hidden2.weight"])
    torch.testing.assert_close(found["output.weight"], before["output.weight"] / second)
    torch.testing.assert_close(found["output.bias"], before["output.bias"])
    with pytest.raises(UsageError, match=r"\(members, 2 hidden layers\); got \(2, 3\)"):
        layers_rescaled(problem, population, torch.ones(2, 3))
