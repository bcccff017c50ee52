"""Dead units of sparse networks go, and the function stays."""

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.tickets import SlicingPlan, without_dead_units

INPUTS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def problem_of(model: object, inputs: Tensor = INPUTS, dtype: torch.dtype = torch.float64) -> tw.Problem:
    return tw.Problem(model, (inputs, torch.arange(len(inputs)) % 3), dtype=dtype)


def pruned(problem: tw.Problem, zeros: dict[str, object], seed: int = 0) -> tw.Population:
    """All parameters at random, and no weights at some places of some tensors."""
    population = problem.initialize([seed])
    draw = torch.Generator().manual_seed(seed)
    theta = torch.randn(population.theta.shape, generator=draw, dtype=torch.float64).to(problem.dtype)
    mask = torch.ones(1, problem.layout.parameters, dtype=torch.bool)
    for name, where in zeros.items():
        problem.layout.views(mask)[name][0][where] = False
    return population.with_theta(theta).with_mask(mask)


def assert_same_function(problem: tw.Problem, small: tw.tickets.Sliced, population: tw.Population, atol: float) -> None:
    inputs = problem.data.train.inputs
    with torch.no_grad():
        wanted, got = (one.module(0).eval()(inputs) for one in (population, small.population))
    assert (wanted - got).abs().max() <= atol * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_units_without_writers_are_folded_and_those_without_readers_go(activation: str) -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 6, 5, 3, activation=activation))
    zeros = {"hidden1.weight": [1, 4], "hidden2.weight": (slice(None), [0]), "output.weight": (slice(None), [3])}
    ticket = pruned(problem, zeros)
    small = without_dead_units(problem, ticket)
    assert dict(small.plan.kept) == {"hidden1": ((2, 3, 5),), "hidden2": ((0, 1, 2, 4),)}
    assert_same_function(problem, small, ticket, 1e-12)
    net = SlicingPlan.from_json(small.plan.to_json()).module(problem.template)
    net.load_state_dict(small.population.state_dict(0))
    assert torch.equal(net(INPUTS), small.module()(INPUTS))


def test_it_goes_on_behind_what_was_dead() -> None:
    """Unit 2 of the second layer is not read, so unit 1 of the first, which only it reads, is not read either; unit 0
    of the first is constant, and so is unit 4 of the second, which reads only that."""
    problem = problem_of(lambda: tw.nets.mlp(4, 3, 5, 3, activation="sigmoid"))
    others, but = [0, 1, 3, 4], [1, 2]
    ticket = pruned(problem, {"output.weight": (slice(None), [2]), "hidden2.weight": (others, slice(1, 2))})
    extra = torch.ones_like(ticket.mask)
    problem.layout.views(extra)["hidden1.weight"][0][0] = False
    problem.layout.views(extra)["hidden2.weight"][0][4, but] = False
    ticket = ticket.with_mask(extra)
    small = without_dead_units(problem, ticket)
    assert dict(small.plan.kept) == {"hidden1": ((2,),), "hidden2": ((0, 1, 3),)}
    assert_same_function(problem, small, ticket, 1e-12)
    assert "2 units were constant" in small.reading.notes[0]


def test_a_bias_that_the_mask_had_pruned_is_active_once_it_holds_a_constant() -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 3, 3, activation="sigmoid"))
    ticket = pruned(problem, {"hidden1.weight": [0], "output.bias": slice(None)})
    small = without_dead_units(problem, ticket)
    views = small.population.layout.views(small.population.mask)
    assert views["output.bias"].all()
    assert_same_function(problem, small, ticket, 1e-12)


def test_a_layer_that_is_wholly_dead_keeps_one_unit() -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 6, 3))
    ticket = pruned(problem, {"hidden1.weight": slice(None)})
    small = without_dead_units(problem, ticket)
    assert small.module().hidden1.out_features == 1
    assert_same_function(problem, small, ticket, 1e-12)


def test_nothing_is_dead() -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 6, 3))
    ticket = pruned(problem, {})
    small = without_dead_units(problem, ticket)
    assert torch.equal(small.population.theta, ticket.theta)


def test_in_float32() -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 6, 5, 3, activation="tanh"), INPUTS.float(), torch.float32)
    ticket = pruned(problem, {"hidden1.weight": [1, 4], "hidden2.weight": [0]})
    small = without_dead_units(problem, ticket)
    assert small.population.theta.dtype == torch.float32
    assert_same_function(problem, small, ticket, 1e-5)


class Convolutions(nn.Module):
    def __init__(self, padding: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5)
        self.second, self.out = nn.Conv2d(5, 4, 3, padding=padding), nn.Linear(4 * (4 + 2 * padding) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(torch.sigmoid(self.norm(self.first(x)))).relu().flatten(1))


def test_constant_channels() -> None:
    problem = problem_of(lambda: Convolutions(0), IMAGES)
    ticket = pruned(problem, {"first.weight": [0, 3], "second.weight": [1]})
    small = without_dead_units(problem, ticket)
    assert dict(small.plan.kept) == {"first": ((1, 2, 4),), "second": ((0, 2, 3),)}
    assert_same_function(problem, small, ticket, 1e-12)


def test_a_constant_channel_that_is_padded_with_zeros_stays() -> None:
    problem = problem_of(lambda: Convolutions(1), IMAGES)
    ticket = pruned(problem, {"first.weight": [0, 3], "second.weight": [1]})
    small = without_dead_units(problem, ticket)
    assert dict(small.plan.kept) == {"second": ((0, 2, 3),)}
    assert_same_function(problem, small, ticket, 1e-12)


def test_channels_of_a_residual_stream_that_nothing_reads() -> None:
    problem = problem_of(lambda: tw.nets.resnet(4, classes=3), IMAGES)
    stream = problem.structure.group("stem.0: stream")
    zeros = {one.tensor: (slice(None), one.positions[[1, 2]].flatten()) for one in stream.read}
    ticket = pruned(problem, zeros)
    small = without_dead_units(problem, ticket)
    assert dict(small.plan.kept)["stem.0: stream"] == ((0, 3),)
    assert_same_function(problem, small, ticket, 1e-12)


def test_streams_that_are_normalized_stay() -> None:
    tokens = torch.randint(5, (12, 6), generator=torch.Generator().manual_seed(2))
    problem = tw.Problem(lambda: tw.nets.transformer(5, 6, 8, 2), (tokens, tokens), dtype=torch.float64)
    ticket = pruned(problem, {"blocks.0.expand.weight": [3, 4], "blocks.1.contract.weight": (slice(None), [7])})
    small = without_dead_units(problem, ticket)
    assert {name: 32 - len(kept[0]) for name, kept in small.plan.kept.items()} == {
        "blocks.0.expand": 2,
        "blocks.1.expand": 1,
    }
    assert_same_function(problem, small, ticket, 1e-12)


def test_several_members_are_refused() -> None:
    problem = problem_of(lambda: tw.nets.mlp(4, 6, 3))
    with pytest.raises(tw.UsageError, match=r"population\[0\]"):
        without_dead_units(problem, problem.initialize(2))
