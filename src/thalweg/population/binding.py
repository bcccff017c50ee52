"""A private copy of the model whose tensors are replaced by others, at the cost of a dictionary entry each."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from thalweg.population.attention import one_path
from thalweg.population.population import Population

Slot = tuple[dict[str, Any], str]  # the owning module's dictionary, and the key there


class Bound:
    """A copy of a population's model that is called with other tensors in place of its own.

    Binding replaces entries of the modules' parameter and buffer dictionaries (all of them for a tied
    tensor), so a call costs what a plain module costs. The user's module is never touched.

    Args:
        template: the model; it is copied.
        population: whose layout and buffers name the tensors.
        training: whether the copy is in training mode.
    """

    def __init__(self, template: nn.Module, population: Population, *, training: bool) -> None:
        self.module = copy.deepcopy(template).train(training)
        self._parameters = [
            [self._slot(name, "_parameters") for name in (entry.name, *entry.ties)] for entry in population.layout
        ]
        self._buffers = {name: self._slots(name) for name in population.buffers}

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

    def _slots(self, name: str) -> list[Slot]:
        """Where a frozen parameter or a buffer is kept, under all of its names."""
        for table, named in (("_parameters", "named_parameters"), ("_buffers", "named_buffers")):
            tensors = dict(getattr(self.module, named)(remove_duplicate=False))
            if name in tensors:
                return [self._slot(other, table) for other, tensor in tensors.items() if tensor is tensors[name]]
        msg = f"the model has no parameter or buffer {name!r}"
        raise KeyError(msg)

    def _slot(self, name: str, table: str) -> Slot:
        path, _, leaf = name.rpartition(".")
        return getattr(self.module.get_submodule(path), table), leaf


def call(module: nn.Module | Callable[..., Any], inputs: Any) -> Any:
    """Call a model on inputs: a tensor as one argument, a tuple as several, a dict by name."""
    with one_path:
        if isinstance(inputs, Mapping):
            return module(**inputs)
        if isinstance(inputs, tuple | list):
            return module(*inputs)
        return module(inputs)
