"""Sliced networks compute what masked ones do, or the reason why not is said."""

import pytest
import torch
from population.architectures import ARCHITECTURES
from torch import nn
from torch.utils._pytree import tree_leaves

import thalweg as tw
from thalweg.population.binding import call
from thalweg.tickets import SlicingPlan, sliced, unit_mask


def problem_of(name: str) -> tuple[tw.Problem, tw.Population]:
    one = ARCHITECTURES[name]
    module = one.module()
    outputs = tree_leaves(call(module, one.inputs))[0]
    problem = tw.Problem(module, (one.inputs, outputs.detach()), lambda out, y: (tree_leaves(out)[0] - y).square())
    return problem, problem.population([one.module(0), one.module(1)])


def assert_equal_outputs(problem: tw.Problem, small: tw.Population, masked: tw.Population) -> None:
    inputs = problem.data.train.inputs
    for member in range(len(masked)):
        with torch.no_grad():
            a, b = (tree_leaves(call(one.module(member).eval(), inputs))[0] for one in (masked, small))
        assert a.abs().max() > 0
        assert (a - b).abs().max() <= 1e-12 * max(1.0, float(a.abs().max()))


CASES = {  # architecture -> groups and how many of their units stay
    "mlp": {"hidden1": 4, "hidden2": 2},
    "convnet": {"convolution1": 2, "convolution2": 5},
    "convnet1d": {"convolution2": 3},
    "resnet": {"stem.0: stream": 3, "stages.1.0.convolution2": 5, "stages.2.0.convolution1": 7},
    "residual": {"stem: stream": 2, "blocks.0.conv1": 3, "blocks.1.conv2": 4},
    "transformer": {"blocks.0.expand": 20, "blocks.1.attention.query: heads": 1},
    "tied": {"blocks.1.expand": 5, "blocks.0.attention.query: heads": 1},
    "post-norm": {"blocks.1.expand": 5},
    "nano": {"h.0.mlp.0": 7},
    "encoder": {"layer.linear1": 4},
    "encoder pre-norm": {"layer.linear1": 1},
    "grouped query": {"gate": 4},
    "padded": {"stem: stream": 2},
    "dense": {"convs.0": 2, "convs.1": 1},
    "skip": {"deep": 3},
    "separable": {"stem: blocks": 4},
    "group norm": {"0: blocks": 2, "3": 3},
    "images": {"0": 3, "6": 2},
    "gated": {"own": 4},
    "twice": {"first": 3},
    "named": {"left": 4},
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_masked(name: str) -> None:
    problem, population = problem_of(name)
    known = {group.name: group.units for group in problem.structure.groups}
    wanted = {}
    for number, (group, count) in enumerate(CASES[name].items()):
        assert group in known, known
        draws = [torch.randperm(known[group], generator=torch.Generator().manual_seed(number + m)) for m in range(2)]
        wanted[group] = torch.stack([draw[:count] for draw in draws])
    small = sliced(problem, population, wanted)
    masked = population.with_mask(unit_mask(problem, wanted))
    assert_equal_outputs(problem, small.population, masked)
    assert small["difference"].max() < 1e-12
    before, after = small["parameters"]
    assert after < before
    loaded = SlicingPlan.from_json(small.plan.to_json()).module(problem.model)
    state = small.population.state_dict(1)
    loaded.load_state_dict(state)
    again = problem.template.__class__ is loaded.__class__
    assert again
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[key])
    with torch.no_grad():
        first, second = (
            tree_leaves(call(one.eval(), problem.data.train.inputs))[0] for one in (loaded, small.module(1))
        )
    assert torch.equal(first, second)


def test_one_order_for_all_members_and_booleans() -> None:
    problem, population = problem_of("mlp")
    first = sliced(problem, population, {"hidden1": [4, 0, 2]})
    second = sliced(problem, population, {"hidden1": torch.tensor([True, False, True, False, True, False])})
    assert torch.equal(first.population.theta, second.population.theta)
    assert torch.equal(unit_mask(problem, {"hidden1": [4, 0, 2]}), unit_mask(problem, {"hidden1": [0, 2, 4]}))


def test_the_model_and_the_population_stay_as_they_are() -> None:
    problem, population = problem_of("resnet")
    before = population.theta.clone(), {name: one.clone() for name, one in population.buffers.items()}
    sliced(problem, population, {"stem.0: stream": [0, 1]})
    assert torch.equal(population.theta, before[0])
    assert all(torch.equal(one, before[1][name]) for name, one in population.buffers.items())
    assert problem.template.stem[0].out_channels == 4


def test_a_mask_is_cut_along() -> None:
    problem, population = problem_of("mlp")
    mask = torch.rand(population.theta.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    ticket = population.with_mask(mask)
    small = sliced(problem, ticket, {"hidden1": [1, 2, 5]}).population
    assert small.mask is not None
    views = ticket.layout.views(ticket.mask)
    left = small.layout.views(small.mask)
    assert torch.equal(left["hidden1.weight"], views["hidden1.weight"][:, [1, 2, 5]])
    assert torch.equal(left["hidden2.weight"], views["hidden2.weight"][:, :, [1, 2, 5]])
    assert torch.equal(left["output.bias"], views["output.bias"])
    assert not small.theta[~small.mask].any()


def test_a_sliced_network_trains_on() -> None:
    data = tw.data.digits().subset(train=60)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), data)
    small = sliced(problem, problem.initialize(1), {"hidden1": [0, 3, 5]})
    again = tw.Problem(small.module(), data)
    run = tw.train(again, tw.Recipe(tw.optim.SGD(lr=0.1), steps=3, batch_size=20), seeds=1, progress=None)
    assert run.final.layout.parameters == small.population.layout.parameters


def test_layers_become_the_identity() -> None:
    for name, layer in (("transformer", "blocks.1"), ("encoder pre-norm", "layer"), ("residual", "blocks.0")):
        problem, population = problem_of(name)
        small = sliced(problem, population, without=(layer,))
        masked = population.copy()
        for entry in masked.layout:
            if entry.name.startswith(f"{layer}."):
                masked.theta[:, entry.columns] = 0
        assert_equal_outputs(problem, small.population, masked)
        net = SlicingPlan.from_json(small.plan.to_json()).module(problem.model)
        net.load_state_dict(small.population.state_dict(0))
        assert isinstance(net.get_submodule(layer), nn.Identity)


def test_units_and_a_layer_that_holds_some_of_them() -> None:
    problem, population = problem_of("residual")
    keep = {"stem: stream": [0, 3], "blocks.0.conv1": [1]}
    small = sliced(problem, population, keep, without=("blocks.0",))
    masked = population.with_mask(unit_mask(problem, keep))
    for entry in masked.layout:
        if entry.name.startswith("blocks.0."):
            masked.theta[:, entry.columns] = 0
    assert_equal_outputs(problem, small.population, masked)
    net = SlicingPlan.from_json(small.plan.to_json()).module(problem.model)
    net.load_state_dict(small.population.state_dict(1))


def test_layers_that_are_not_the_identity_are_refused() -> None:
    for name, layer in (("post-norm", "blocks.1"), ("residual", "blocks.1"), ("mlp", "hidden2")):
        problem, population = problem_of(name)
        with pytest.raises(tw.ModelError, match=f"{layer}.*cannot be sliced.*Masks work"):
            sliced(problem, population, without=(layer,))


@pytest.mark.parametrize(
    ("name", "keep", "said"),
    [
        ("transformer", {"embedding: stream": [0, 1, 2]}, "'layer_norm' in 'blocks.0.norm_attention'"),
        ("transformer", {"blocks.0.attention.query: query-key 0": [0, 1]}, "different lengths|cannot be sliced"),
        ("group norm", {"6": [0, 1]}, "'group_norm' in '7'"),
        ("nano", {"h.0.attn.c_attn: heads": [0]}, "raises ValueError: not enough"),
        ("encoder", {"layer.self_attn: heads": [1]}, "cannot be sliced"),
        ("separable", {"alone 0": [0]}, "different lengths|cannot be sliced"),
    ],
)
def test_what_cannot_be_sliced_says_why(name: str, keep: dict[str, list[int]], said: str) -> None:
    problem, population = problem_of(name)
    with pytest.raises(tw.ModelError, match=said):
        sliced(problem, population, keep)
    assert unit_mask(problem, keep).sum() < problem.layout.parameters


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"hidden1": []}, "would become empty"),
        ({"hidden1": torch.zeros(6, dtype=torch.bool)}, "would become empty"),
        ({"hidden9": [0]}, "no group 'hidden9'"),
        ({"hidden1": [0, 0]}, "each once"),
        ({"hidden1": [6]}, "0 to 5"),
        ({"hidden1": [0.5]}, "whole numbers"),
        ({"hidden1": [[0], [1], [2]]}, "3 rows for a population of 2"),
        ({"hidden1": [True, False]}, "booleans"),
        ({"hidden1": "all"}, "indices"),
        ([0, 1], "mapping"),
    ],
)
def test_what_makes_no_sense_is_said(keep: object, said: str) -> None:
    problem, population = problem_of("mlp")
    with pytest.raises(tw.UsageError, match=said):
        sliced(problem, population, keep)


def test_modules_that_are_not_there() -> None:
    problem, population = problem_of("transformer")
    with pytest.raises(tw.UsageError, match="no module 'block'"):
        sliced(problem, population, without=("block",))
    with pytest.raises(tw.UsageError, match=r"inside 'blocks\.1'"):
        sliced(problem, population, without=("blocks.1", "blocks.1.attention"))


def test_a_population_of_another_model() -> None:
    problem, _ = problem_of("mlp")
    with pytest.raises(tw.UsageError, match="differ"):
        sliced(problem, problem_of("convnet")[1], {"hidden1": [0]})


class Widths(nn.Module):
    """Attention that holds the number of its heads and their width together, and cuts one matrix by it."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.size, self.all = 3, 2, 6
        self.embed, self.qkv, self.back = nn.Embedding(5, 4), nn.Linear(4, 18), nn.Linear(6, 4)
        self.out = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        parts = (one.unflatten(-1, (self.number, self.size)).transpose(1, 2) for one in self.qkv(x).split(self.all, -1))
        y = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(*x.shape[:2], self.all)
        return self.out(x + self.back(y))


def test_heads_where_a_module_holds_their_number_and_width() -> None:
    tokens = torch.randint(5, (6, 4), generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(Widths, (tokens, tokens), dtype=torch.float64)
    population = problem.initialize(2)
    small = sliced(problem, population, {"qkv: heads": [0, 2]})
    assert dict(small.plan.attributes[""]) == {"number": 2, "all": 4}
    assert_equal_outputs(problem, small.population, population.with_mask(unit_mask(problem, {"qkv: heads": [0, 2]})))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.out(h.relu() if float(h.detach().sum()) > 1e9 else h.tanh())


def test_a_model_that_cannot_be_traced_is_named() -> None:
    problem = tw.Problem(Branching, (torch.randn(8, 4), torch.randint(3, (8,))))
    with pytest.raises(tw.ModelError, match="cannot be traced"):
        sliced(problem, problem.initialize(1), {"first": [0]})


def test_plans_of_other_models_and_other_files() -> None:
    problem, population = problem_of("mlp")
    plan = sliced(problem, population, {"hidden1": [1]}).plan
    with pytest.raises(tw.StorageError, match="another model"):
        plan.module(nn.Linear(3, 3))
    for text in ("{}", "not JSON", plan.to_json().replace('"format": 1', '"format": 2'), plan.to_json()[:-30]):
        with pytest.raises(tw.StorageError):
            SlicingPlan.from_json(text)
