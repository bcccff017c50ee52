"""A private copy of the model whose tensors are replaced by others, at the cost of a dictionary entry each."""

from collections.abc import Callable, Iterable, Mapping, MutableSequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from thalweg.errors import ModelError
from thalweg.population.answers import answer, lengths, rows
from thalweg.population.attention import one_path
from thalweg.population.copying import copied, in_mode
from thalweg.population.holdings import Place, is_plain, places
from thalweg.population.population import Population

_BESIDE = "_beside_examples"  # an attribute of a problem's own copy of the model, and so of copies of that
Slot = tuple[dict[Any, Any] | MutableSequence[Any], Any]  # what holds a tensor, and the key there


class Bound:
    """A copy of a population's model that is called with other tensors in place of its own.

    Binding replaces entries of the modules' parameter and buffer dictionaries (all of them for a tied
    tensor, and lists and variables that hold it too), so a call costs what a plain module costs. The user's module is
    never touched.

    Args:
        template: the model; it is copied.
        population: whose layout and buffers name the tensors.
        training: whether the copy is in training mode.

    Attributes:
        hooks: the gradient hooks of each of the layout's parameters.
    """

    def __init__(self, template: nn.Module, population: Population, *, training: bool) -> None:
        self.module = in_mode(copied(template), training=training)
        self._parameters = [
            [self._slot(name, "_parameters") for name in (entry.name, *entry.ties)] for entry in population.layout
        ]
        self._buffers = {name: self._slots(name) for name in population.buffers}
        own = [slots[0][0][slots[0][1]] for slots in self._parameters]
        self.hooks = [list((parameter._backward_hooks or {}).values()) for parameter in own]
        self._elsewhere(own)

    def bind(self, parameters: Iterable[Tensor], buffers: Mapping[str, Tensor]) -> None:
        """Put the layout's parameters, in its order, and the named buffers in their places."""
        for slots, parameter in zip(self._parameters, parameters, strict=True):
            for table, leaf in slots:
                table[leaf] = parameter
        for name, slots in self._buffers.items():
            for table, leaf in slots:
                table[leaf] = buffers[name]

    def replaced(self, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The buffers that the model has replaced by new tensors, where it did not write into those bound."""
        held = {name: slots[0][0][slots[0][1]] for name, slots in self._buffers.items()}
        return {name: tensor for name, tensor in held.items() if tensor is not buffers[name]}

    def release(self, name: str) -> None:
        """Leave a buffer to the module from now on: one that it makes anew in the size of its inputs."""
        del self._buffers[name]

    def _slots(self, name: str) -> list[Slot]:
        """Where a frozen parameter or a buffer is kept, under all of its names."""
        for table, named in (("_parameters", "named_parameters"), ("_buffers", "named_buffers")):
            tensors = dict(getattr(self.module, named)(remove_duplicate=False))
            if name in tensors:
                return [self._slot(other, table) for other, tensor in tensors.items() if tensor is tensors[name]]
        path, _, leaf = name.rpartition(".")
        owner = dict(self.module.named_modules()).get(path)
        if owner is None or (leaf not in owner._buffers and hasattr(owner, leaf)):
            msg = f"The model has no parameter or buffer {name!r}, which the population has; was it made by another?"
            raise ModelError(msg)
        return [(owner._buffers, leaf)]  # one that a call makes

    def _slot(self, name: str, table: str) -> Slot:
        path, _, leaf = name.rpartition(".")
        return getattr(self.module.get_submodule(path), table), leaf

    def _elsewhere(self, own: list[Tensor]) -> None:
        """Add the places where parameters are held beside the modules' own dictionaries: lists, variables of hooks."""
        if is_plain(self.module):
            return
        slots = {id(parameter): slots for parameter, slots in zip(own, self._parameters, strict=True)}
        tables = {id(table) for one in self._parameters for table, _ in one}
        for place in places(self.module):
            if id(place.value) in slots and id(place.holder) not in tables and place.writable:
                kept = isinstance(place.holder, dict | list)
                slots[id(place.value)].append((place.holder, place.key) if kept else (_Cell(place), 0))


class _Cell(dict[int, Any]):
    """A variable that a function closes over, written like a dictionary."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    def __setitem__(self, key: int, value: Any) -> None:
        self.place.put(value)


def call(module: nn.Module | Callable[..., Any], inputs: Any) -> Any:
    """Call a model on inputs: a tensor as one argument, a tuple as several, a dict by name; see `answers.answer`."""
    with one_path:
        outputs = _called(module, inputs)
    return outputs if isinstance(outputs, Tensor) else answer(outputs, rows(inputs), beside(module))


def beside(module: nn.Module | Callable[..., Any]) -> tuple[str, ...]:
    """Paths of tensors that the model returns without a row for each example, where that was found out."""
    return getattr(module, "__dict__", {}).get(_BESIDE, ())


def exchanged(module: nn.Module, tensors: Mapping[str, Tensor]) -> Callable[..., Any]:
    """The module as a function with these tensors in the place of its own, for `call`."""

    def function(*args: Any, **named: Any) -> Any:
        return functional_call(module, dict(tensors), args, named)

    function.__dict__[_BESIDE] = beside(module)
    return function


def find_beside(template: nn.Module, inputs: Any) -> None:
    """Find out which tensors the model returns have no row for each example, for all its copies made afterwards.

    A tensor that is as long as one batch by chance, as a recurrent network's state of one layer is as long as a batch
    of one, is not as long as one of half as many.
    """
    count = rows(inputs) or 0
    some = tree_map(lambda leaf: leaf[: count // 2] if leaf.ndim and len(leaf) == count else leaf, inputs)
    found: set[str] = set()
    for given, size in ((inputs, count), (some, count // 2)):
        try:
            with torch.no_grad():
                outputs = _called(copied(template).eval(), given) if size else None
        except Exception:  # said where it is called next, or what it cannot do with so few examples
            continue
        if not isinstance(outputs, Tensor):
            found |= {path for path, length in lengths(outputs).items() if length != size}
    if found:
        template.__dict__[_BESIDE] = tuple(sorted(found))


def _called(module: nn.Module | Callable[..., Any], inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return module(**inputs)
    if isinstance(inputs, tuple | list):
        return module(*inputs)
    return module(inputs)
