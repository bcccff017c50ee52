"""What is read from a trace: names of values, blocks under `with`, and sentences on ordinary mistakes."""

import json
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from population.architectures import VECTORS
from torch import Tensor, nn
from torch.nn.utils import prune

from thalweg.errors import ModelError
from thalweg.population import Population, Structure
from thalweg.population.structure import tracing


class Net(nn.Module):
    """Layers a, b: 4 -> 6 and o: 6 -> 2, a parameter or buffer of 6 under a name, and what is done with them."""

    def __init__(self, what: Callable[..., Tensor], name: str = "scale", *, buffer: bool = False) -> None:
        super().__init__()
        self.what = what
        self.a, self.b, self.o = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)
        own = torch.linspace(-1, 1, 6)
        if buffer:
            self.register_buffer(name, own)
        else:
            self.register_parameter(name, nn.Parameter(own))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.what(self, x)


def assert_permutable(module: nn.Module, structure: Structure) -> None:
    population = Population.of([module])
    with torch.no_grad():
        expected = module(VECTORS)
        for group in structure.groups:
            moved = structure.permuted(population, group, torch.arange(group.units).roll(1))
            assert not torch.equal(moved.theta, population.theta)
            torch.testing.assert_close(moved.module(0)(VECTORS), expected, rtol=0, atol=1e-12)


def assert_named_apart(structure: Structure) -> None:
    names = [*structure.inputs, *(one.name for one in structure.operations)]
    assert len({*names, *structure.names}) == len(names) + len(structure.names)


@pytest.mark.parametrize("buffer", [False, True])
def test_an_input_and_a_tensor_of_one_name_are_two_values(buffer: bool) -> None:
    module = Net(lambda m, x: m.o((m.a(x) + m.x).tanh()), "x", buffer=buffer)
    structure = Structure.of(module, VECTORS)
    assert_named_apart(structure)
    assert structure.inputs == ("x_",)
    assert structure.operations[0].inputs == ("x_", "a.weight", "a.bias")
    (group,) = structure.groups
    assert {(one.tensor, one.dim) for one in group.slices} == {
        ("a.weight", 0),
        ("a.bias", 0),
        ("x", 0),
        ("o.weight", 1),
    }
    assert structure.fixed["a.weight", 1] == "the model's input 'x_'"
    assert_permutable(module, structure)


def test_a_constant_and_a_tensor_of_one_name_are_two_values() -> None:
    module = Net(lambda m, x: m.o(m.a(x) * m.mask * m.c_mask), "c_mask")
    module.mask = torch.ones(6, dtype=torch.float64)  # torch names it c_mask
    structure = Structure.of(module, VECTORS)
    assert_named_apart(structure)
    assert structure.fixed["c_mask", 0] == "the constant 'c_mask_'"
    assert not structure.groups


def _operations_in_place(m: Any, x: Tensor) -> Tensor:
    h, z = m.a(x).tanh(), m.b(x) * m.tanh
    z.tanh_()  # torch names it tanh_, and the first one tanh
    return m.o(h) + m.o(z.cumsum(1))


def test_operations_and_a_tensor_of_one_name_are_several_values() -> None:
    structure = Structure.of(Net(_operations_in_place, "tanh"), VECTORS)
    assert_named_apart(structure)
    assert [one.name for one in structure.operations if one.kind == "tanh"] == ["tanh_", "tanh__"]
    assert not structure.groups  # as cumsum reads what `o` reads


def test_a_name_of_a_tensor_that_is_not_read_is_taken_too() -> None:
    structure = Structure.of(Net(lambda m, x: m.o(m.a(x).tanh()), "tanh"), VECTORS)
    assert_named_apart(structure)
    assert [group.name for group in structure.groups] == ["a"]


def _blocks(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        h = m.a(x).relu()
        with torch.enable_grad():
            h, z = 2 * h, m.b(x)
    with torch.enable_grad():
        z = z * m.scale
        with torch.autocast("cpu", enabled=False):
            z.relu_()
    return m.o(h + z)


def test_what_is_done_in_blocks_is_seen() -> None:
    module = Net(_blocks)
    structure = Structure.of(module, VECTORS)
    assert [one.kind for one in structure.operations] == [
        *("linear", "relu", "mul", "linear", "mul", "relu", "add", "linear")
    ]
    assert [one.module for one in structure.operations if one.kind == "linear"] == ["a", "b", "o"]
    assert structure.operations[4].parameters == ("scale",)
    assert structure.unknown == ()
    assert_named_apart(structure)
    (group,) = structure.groups
    assert {one.tensor for one in group.slices} == {"a.weight", "a.bias", "b.weight", "b.bias", "scale", "o.weight"}
    assert structure.obstacle(group) == ""
    assert_permutable(module, structure)


def test_blocks_do_what_is_done_without_them() -> None:
    def plain(m: Any, x: Tensor) -> Tensor:
        return m.o(2 * m.a(x).relu() + (m.b(x) * m.scale).relu_())

    def told(what: Callable[..., Tensor]) -> list[Any]:
        structure = Structure.of(Net(what), VECTORS)
        return [[str(group) for group in structure.groups], structure.fixed.keys(), structure.dims["a.weight"]]

    assert told(_blocks) == told(plain)


@pytest.mark.parametrize("enabled", [False, True])
def test_a_block_that_only_returns_what_it_read(enabled: bool) -> None:
    def what(m: Any, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=enabled):
            h = m.a(x)
        return m.o(h.to(x.dtype).relu())

    assert [group.name for group in Structure.of(Net(what), VECTORS).groups] == ["a"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (lambda m, x: m.zzz(x), "torch.export says: 'Net' object has no attribute 'zzz'"),
        (lambda m, x: m.permutation(x), "torch.export says: 'Net' object has no attribute 'permutation'"),
        (lambda m, x: m.numpy(x), "torch.export says: 'Net' object has no attribute 'numpy'"),
    ],
)
def test_a_mistake_in_the_model_is_said_in_torchs_words(what: Callable[..., Tensor], sentence: str) -> None:
    with pytest.raises(ModelError) as found:
        Structure.of(Net(what), VECTORS)
    assert f": {sentence}." in str(found.value)
    assert "test_structure_tracing.py:" in str(found.value)


def test_no_line_of_the_standard_library_is_blamed() -> None:
    with pytest.raises(
        ModelError, match=r"^The model cannot be traced: torch.export says: too many positional"
    ) as found:
        Structure.of(Net(lambda m, x: m.o(m.a(x))), [1, 2])
    assert ".py" not in str(found.value)
    with pytest.raises(ModelError, match=r"test_structure_tracing.py:\d+ \(.*json.loads") as found:
        Structure.of(Net(lambda m, x: m.o(json.loads("?"))), VECTORS)


def test_lines_of_the_model_and_of_libraries_are_told_from_torchs() -> None:
    installed = Path(torch.__file__).parent.parent
    standard = Path(sysconfig.get_path("stdlib"))
    for file in (__file__, installed / "torchvision" / "resnet.py", standard / "site-packages" / "timm" / "vit.py"):
        assert tracing._foreign(str(file))
    for file in (torch.__file__, installed / "torch" / "nn" / "x.py", standard / "inspect.py", "<eval_with_key>.1"):
        assert not tracing._foreign(str(file))


def test_pruned_modules_are_traced() -> None:
    module = Net(lambda m, x: m.o(m.a(x)))
    prune.l1_unstructured(module.a, "weight", 0.4)
    assert Structure.of(module, VECTORS).groups
