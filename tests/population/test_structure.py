"""Structures: exchanging units leaves functions; what is said of operations and of models that cannot be read."""

import math
from typing import Any

import pytest
import torch
from cases import CASES, Case
from cases import every as of_cases
from population.architectures import ARCHITECTURES, PIXELS, TOKENS, VECTORS, Apart, Nano, Twice, randomized
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import UsageError
from thalweg.population import Population, Structure, UnitGroup
from thalweg.population.binding import call
from thalweg.randomness import generator

every = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture(scope="module")
def structures() -> dict[str, Structure]:
    return {name: Structure.of(one.module(), one.inputs) for name, one in ARCHITECTURES.items()}


def _population(name: str, members: int = 2) -> Population:
    return Population.of([ARCHITECTURES[name].module(seed) for seed in range(members)])


def _outputs(population: Population, inputs: Any) -> list[Tensor]:
    with torch.no_grad():
        modules = [population.module(member).eval() for member in range(len(population))]
        return [leaf for module in modules for leaf in tree_leaves(call(module, inputs))]


def assert_same_function(one: Population, other: Population, inputs: Any) -> None:
    for was, now in zip(_outputs(one, inputs), _outputs(other, inputs), strict=True):
        torch.testing.assert_close(now, was, rtol=0, atol=1e-12 * max(1.0, float(was.abs().max())))


def _mixed(units: int, members: int, number: int) -> Tensor:
    draw = generator(0, "orders", number)
    orders = [torch.randperm(units, generator=draw) for _ in range(members)]
    return torch.stack([one if bool((one != torch.arange(units)).any()) else one.roll(1) for one in orders])


@every
def test_permuting_a_group_leaves_the_function(name: str, structures: dict[str, Structure]) -> None:
    population, structure = _population(name), structures[name]
    draw = generator(0, "mask")
    masked = population.with_mask(torch.rand(population.theta.shape, generator=draw) < 0.7)
    for number, group in enumerate(structure.groups):
        order = _mixed(group.units, 2, number)
        for one in (population, masked):
            other = structure.permuted(one, group, order)
            assert_same_function(one, other, ARCHITECTURES[name].inputs)
            back = structure.permuted(other, group.name, order.argsort(-1))
            assert torch.equal(back.theta, one.theta)
        for member in range(2):  # it did move
            moved = other.theta[member] != masked.theta[member]
            assert bool(moved.any()) or any(tensor in other.buffers for tensor in group.tensors)
        assert not other.theta[~other.mask].any()


@every
def test_all_groups_at_once_leave_the_function(name: str, structures: dict[str, Structure]) -> None:
    population, structure = _population(name, 1), structures[name]
    other = population
    for number, group in enumerate((*structure.groups, *structure.groups[::-1])):
        other = structure.permuted(other, group, _mixed(group.units, 1, number))
    assert_same_function(population, other, ARCHITECTURES[name].inputs)


@of_cases(CASES)
def test_foreign_models_have_structures(case: Case) -> None:
    module = randomized(case.model())
    population, inputs = Population.of([module]), tree_map(lambda one: one[:4], case.inputs)
    inputs = tree_map(lambda one: one.double() if one.is_floating_point() else one, inputs)
    structure = Structure.of(module, inputs)
    without = ("logits", "named inputs", "two inputs", "frozen", "recurrent")  # hidden units that may be exchanged
    assert bool(structure.groups) == (case.name not in without)
    for number, group in enumerate(structure.groups):
        other = structure.permuted(population, group, _mixed(group.units, 1, number))
        assert_same_function(population, other, inputs)


UNITS = {  # heads and blocks as units of their own, what is within each of them too
    "mlp": {"units": [6, 5]},
    "convnet": {"channels": [4, 6]},
    "convnet1d": {"channels": [4, 4, 4]},
    "resnet": {"stream": [4], "channels": [4, 8, 8, 16, 16]},
    "resnet of groups": {"stream": [8], "channels": [8, *[2] * 16, *[4] * 16], "blocks": [8] * 4},
    "transformer": {"stream": [8], "heads": [2, 2], "query-key": [4] * 4, "value": [4] * 4, "units": [32, 32]},
    "post-norm": {"stream": [8], "heads": [2, 2], "query-key": [4] * 4, "value": [4] * 4, "units": [32, 32]},
    "tied": {"stream": [8], "heads": [2, 2], "query-key": [4] * 4, "value": [4] * 4, "units": [32, 32]},
    "modular": {"stream": [8], "heads": [2], "query-key": [4] * 2, "value": [4] * 2, "units": [32]},
    "with squared norm": {"units": [6]},
    "nano": {"stream": [6], "heads": [2, 2], "query-key": [3] * 4, "value": [3] * 4, "units": [12, 12]},
    "nano written out": {"stream": [6], "heads": [2, 2], "query-key": [3] * 4, "value": [3] * 4, "units": [12, 12]},
    "image attention": {"stream": [8], "heads": [2], "query-key": [4], "value": [4, 4]},  # one norm for all heads
    "grouped query": {"stream": [8], "heads": [2, 2, 2], "query-key": [2, 2], "value": [2, 2], "units": [6]},
    "grouped query expanded": {"stream": [8], "heads": [2, 2, 2], "query-key": [2, 2], "value": [2, 2], "units": [6]},
    "grouped query repeated": {"stream": [8], "heads": [2, 2, 2], "query-key": [2, 2], "value": [2, 2], "units": [6]},
    "rotary": {"units": [8], "heads": [2], "value": [4, 4]},
    "encoder": {"stream": [8], "heads": [2], "query-key": [4, 4], "value": [4, 4], "units": [6]},
    "encoder pre-norm": {"stream": [8], "heads": [2], "query-key": [4, 4], "value": [4, 4], "units": [6]},
    "multi-head": {"units": [8, 8], "heads": [2], "query-key": [4, 4], "value": [4, 4]},
    "multi-head with weights": {"units": [8, 6, 8], "heads": [2], "query-key": [4, 4], "value": [4, 4]},
    "residual": {"stream": [4], "channels": [4, 6, 6]},
    "padded": {"stream": [3, 2, 2]},
    "dense": {"channels": [3, 3, 3]},
    "skip": {"channels": [4, 3, 5]},
    "separable": {"blocks": [6, 2], "channels": [*[2] * 6, 3, 3, 2, 2, 3, 3]},
    "twice": {"units": [5]},
    "apart": {"units": [5]},
    "ordered": {},
    "gated": {"units": [5, 6, 4]},
    "named": {"units": [6]},
    "lstm": {},
    "gru": {},
    "weight norm": {"units": [6]},
    "group norm": {"blocks": [3], "channels": [2, 2, 2, 4, 4]},
    "images": {"channels": [4], "units": [6]},
}


@every
def test_groups_are_those_of_the_architecture(name: str, structures: dict[str, Structure]) -> None:
    found: dict[str, list[int]] = {}
    for group in structures[name].groups:
        found.setdefault(group.kind, []).append(group.units)
    expected = UNITS[name]
    assert {kind: sorted(units) for kind, units in found.items()} == {k: sorted(units) for k, units in expected.items()}
    names = [group.name for group in structures[name].groups]
    assert len(set(names)) == len(names)
    assert tuple(one.kind for one in structures[name].unknown) == ARCHITECTURES[name].unknown


def _places(group: UnitGroup, side: str) -> dict[tuple[str, int], list[list[int]]]:
    return {(one.tensor, one.dim): one.positions.tolist() for one in getattr(group, side)}


def test_a_fused_projection_has_the_rows_of_its_heads(structures: dict[str, Structure]) -> None:
    structure = structures["nano"]
    heads = structure.group("h.1.attn.c_attn: heads")
    blocks = [[0, 1, 2, 6, 7, 8, 12, 13, 14], [3, 4, 5, 9, 10, 11, 15, 16, 17]]  # of queries, keys and values
    assert _places(heads, "written") == {("h.1.attn.c_attn.weight", 0): blocks, ("h.1.attn.c_attn.bias", 0): blocks}
    assert _places(heads, "read") == {("h.1.attn.c_proj.weight", 1): [[0, 1, 2], [3, 4, 5]]}
    second = structure.group("h.1.attn.c_attn: query-key 1")
    assert _places(second, "written")["h.1.attn.c_attn.bias", 0] == [[3, 9], [4, 10], [5, 11]]
    assert not second.read  # one is read by the other
    value = structure.group("h.1.attn.c_attn: value 0")
    assert _places(value, "read") == {("h.1.attn.c_proj.weight", 1): [[0], [1], [2]]}


def test_a_stream_has_all_that_is_added_and_both_roles_of_tied_weights(structures: dict[str, Structure]) -> None:
    structure = structures["nano"]
    (stream,) = (group for group in structure.groups if group.kind == "stream")
    layers = [f"h.{n}.{layer}" for n in (0, 1) for layer in ("ln_1", "attn.c_proj", "ln_2", "mlp.2")]
    written = {(f"{layer}.{leaf}", 0) for layer in (*layers, "ln_f") for leaf in ("weight", "bias")}
    assert set(_places(stream, "written")) == written | {("wte.weight", 1), ("wpe.weight", 1)}
    assert set(_places(stream, "read")) == {
        *((f"h.{n}.{layer}.weight", 1) for n in (0, 1) for layer in ("attn.c_attn", "mlp.0")),
        ("wte.weight", 1),
    }


def test_running_statistics_and_flattened_positions_belong_to_channels(structures: dict[str, Structure]) -> None:
    channels = structures["images"].group("0")
    assert {tensor for tensor, _ in _places(channels, "written")} == {
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
    }  # fmt: skip
    assert _places(channels, "read")["6.weight", 1] == [list(range(9 * k, 9 * k + 9)) for k in range(4)]


def test_what_is_within_a_group_of_a_convolution_is_confined_to_its_rows(structures: dict[str, Structure]) -> None:
    (read,) = structures["separable"].group("mix 1").read
    assert (read.tensor, read.dim, read.positions.tolist(), read.rows.tolist()) == (
        "grouped.weight", 1, [[0], [1], [2]], [2, 3],
    )  # fmt: skip


def test_a_square_layer_in_a_stream_is_read_by_columns_and_written_by_rows() -> None:
    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.out(x + self.inner(x).tanh())

    (group,) = Structure.of(Square(), torch.zeros(2, 4)).groups
    sides = [[(one.tensor, one.dim) for one in side if "inner.w" in one.tensor] for side in (group.written, group.read)]
    assert sides == [[("inner.weight", 0)], [("inner.weight", 1)]]


def test_units_that_are_told_apart_are_in_no_group(structures: dict[str, Structure]) -> None:
    (group,) = structures["apart"].groups
    assert [index for (index,) in group.written[0].positions.tolist()] == [0, 1, 3, 4, 5]
    assert "'slice'" in structures["apart"].fixed["first.weight", 0]
    assert not structures["ordered"].groups
    assert "'cumsum' (" in structures["ordered"].fixed["first.bias", 0]
    assert "for which the order of indices matters" in structures["ordered"].fixed["first.bias", 0]
    assert structures["mlp"].fixed["hidden1.weight", 1] == "the model's input 'input'"


def test_operations_that_are_not_known_fix_what_they_touch_and_are_said(structures: dict[str, Structure]) -> None:
    (operation,) = structures["lstm"].unknown
    assert (operation.kind, operation.module) == ("lstm", "cell")
    assert "'lstm' in 'cell'" in structures["lstm"].fixed["before.weight", 0]


def test_operations_come_in_order_with_modules_arguments_and_lines(structures: dict[str, Structure]) -> None:
    operations = structures["convnet"].operations
    assert [(one.kind, one.module) for one in operations] == [
        ("conv2d", "convolution1"), ("relu", "activation1"), ("avg_pool2d", "pool1"),
        ("conv2d", "convolution2"), ("relu", "activation2"), ("avg_pool2d", "pool2"),
        ("flatten", "flatten"), ("linear", "output"),
    ]  # fmt: skip
    first, pool = operations[0], operations[2]
    assert first.inputs == ("input", "convolution1.weight", "convolution1.bias")
    assert first.parameters == ("convolution1.weight", "convolution1.bias")
    assert (first.arguments["padding"], first.shape, first.target) == ([1, 1], (4, 4, 8, 8), "aten.conv2d.default")
    assert pool.arguments["kernel_size"] == [2, 2]
    assert operations[1].inputs == (first.name,)
    assert structures["convnet"].inputs == ("input",)
    assert structures["convnet"].outputs == (operations[-1].name,)
    addition = next(one for one in structures["nano"].operations if one.kind == "add")
    file, _, line = addition.source.rpartition(":")
    assert file.endswith("attention.py")
    with open(file) as lines:
        assert "self.wte(idx) + self.wpe(pos)" in lines.readlines()[int(line) - 1]


def test_what_is_shown_is_short(structures: dict[str, Structure]) -> None:
    assert repr(structures["mlp"]) == "Structure(5 operations, 2 groups of units)"
    assert repr(structures["mlp"].groups[0]) == "UnitGroup(name='hidden1', kind='units', units=6)"
    assert str(structures["mlp"].operations[1]) == "'gelu' in 'activation1'"


def test_two_call_sites_are_two_uses(structures: dict[str, Structure]) -> None:
    for name in ("wte.weight", "lm_head.weight"):
        assert [(one.kind, one.module) for one in structures["nano"].uses(name)] == [
            ("embedding", "wte"),
            ("linear", "lm_head"),
        ]
    assert [one.module for one in structures["twice"].uses("again.weight")] == ["again", "again"]
    assert [one.module for one in structures["nano written out"].uses("h.0.attn.bias")] == ["h.0.attn"]
    with pytest.raises(UsageError, match=r"no tensor 'wte'\. Did you mean"):
        structures["nano"].uses("wte")


def test_producers_and_consumers(structures: dict[str, Structure]) -> None:
    structure = structures["twice"]
    assert [one.module for one in structure.writers("first")] == ["first", "again", "again"]
    assert [one.module for one in structure.readers("first")] == ["again", "again", "out"]
    assert [one.kind for one in structure.carriers("first")] == ["linear", "prelu", "linear", "tanh", "linear", "tanh"]
    first = structure.operations[0]
    assert structure.consumers(first.name) == (structure.operations[1],)
    assert structure.producer(first.name) is first
    assert structure.producer("first.weight") is None
    assert structure.dims[first.name] == ((), ("first",))
    stream = structures["residual"]
    writers = [one.module for one in stream.writers("stem: stream")]
    assert writers == ["stem", "blocks.0.conv2"]
    assert {one.module for one in stream.readers("stem: stream")} == {
        "blocks.0.conv1", "blocks.1.conv1", "blocks.1.downsample.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("group", "permutation", "sentence"),
    [
        ("frist", torch.arange(5), "no group 'frist'. Did you mean 'first'"),
        (3, torch.arange(5), "group must be a group of the structure or its name; got 3"),
        ("first", [1, 0], "permutation must be a tensor"),
        ("first", torch.arange(4), r"must be \(5,\) or \(2, 5\); got \(4,\)"),
        ("first", torch.tensor([0, 1, 2, 3, 3]), "must hold each of 0 to 4 once"),
        ("first", torch.arange(5.0), "must hold each of 0 to 4 once"),
    ],
)
def test_permutations_that_cannot_be_meant(
    group: Any, permutation: Any, sentence: str, structures: dict[str, Structure]
) -> None:
    with pytest.raises(UsageError, match=sentence):
        structures["twice"].permuted(_population("twice"), group, permutation)


def test_a_population_of_another_model_is_refused(structures: dict[str, Structure]) -> None:
    with pytest.raises(UsageError, match=r"The population is of another model, as it has no 'first\.weight'"):
        structures["twice"].permuted(_population("mlp"), "first", torch.arange(5))


def test_a_population_of_another_width_is_refused() -> None:
    """A permutation of 8 units would move 8 of its 16."""
    structure = Structure.of(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.zeros(2, 4))
    wider = Population.of([nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))])
    with pytest.raises(UsageError, match=r"of another model, as its '0.weight' is \(16, 4\) and not \(8, 4\)"):
        structure.permuted(wider, "0", torch.arange(8))


def test_frozen_layers_and_a_shared_embedding_move_too() -> None:
    module = randomized(Nano(fused=True))
    module.h[0].requires_grad_(False)
    population, structure = Population.of([module]), Structure.of(module, TOKENS)
    for number, group in enumerate(structure.groups):
        other = structure.permuted(population, group, _mixed(group.units, 1, number))
        assert_same_function(population, other, TOKENS)
    assert any(name.startswith("h.0.attn") for name in structure.groups[1].tensors)


def test_one_permutation_for_all_members_is_that_of_each(structures: dict[str, Structure]) -> None:
    population, structure = _population("residual", 3), structures["residual"]
    order = torch.tensor([2, 0, 3, 1])
    shared = structure.permuted(population, "stem: stream", order)
    each = structure.permuted(population, "stem: stream", order.expand(3, 4))
    assert torch.equal(shared.theta, each.theta)
    alone = structure.permuted(population[1], "stem: stream", order)
    assert torch.equal(alone.theta[0], shared.theta[1])
    for name in ("bn.running_mean", "blocks.0.bn2.running_var"):
        assert torch.equal(shared.buffers[name], population.buffers[name][:, order])


def test_examples_of_another_number_change_nothing() -> None:
    for name, inputs in {"residual": PIXELS, "nano": TOKENS, "image attention": PIXELS}.items():
        found = [Structure.of(ARCHITECTURES[name].module(), inputs[:count]).groups for count in (1, 2, 3)]
        assert len({tuple((group.name, group.units) for group in one) for one in found}) == 1


def test_group_orders_multiply(structures: dict[str, Structure]) -> None:
    """All exchanges of a transformer block: heads, and within each of them queries with keys, and values."""
    orders = math.prod(math.factorial(group.units) for group in structures["modular"].groups if group.kind != "units")
    assert orders == math.factorial(8) * 2 * math.factorial(4) ** 4


def test_apart_and_twice_are_what_they_say() -> None:
    """The planted models do differ where units are exchanged that may not be."""
    for build, units in ((Apart, [0, 1, 2, 3, 4, 5]), (Twice, [0, 1, 2, 3, 4])):
        module = randomized(build())
        wrong = units[1:] + units[:1]
        other = randomized(build())
        with torch.no_grad():
            other.first.weight.copy_(module.first.weight[wrong])
            other.first.bias.copy_(module.first.bias[wrong])
            other.out.weight.copy_(module.out.weight[:, wrong])
            assert (other(VECTORS) - module(VECTORS)).abs().max() > 1e-3
