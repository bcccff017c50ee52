"""Rows evaluated one after the other: one private module, bound to each row in turn."""

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.population.batch import Batch
from thalweg.population.population import Population
from thalweg.population.problem import Problem, call
from thalweg.randomness import global_stream


class Looped:
    """A private copy of the model whose parameters are replaced by views of one row.

    Binding replaces entries of the modules' parameter dictionaries, so a call costs what a plain
    module costs. Each member draws its dropout from its own stream (seed, "forward", step).

    Args:
        seeds: one per member, for models that draw random numbers.
    """

    def __init__(
        self, problem: Problem, population: Population, *, training: bool, seeds: Sequence[int] | None = None
    ) -> None:
        self.problem = problem
        self.layout = population.layout
        self.theta = population.theta
        self.module = copy.deepcopy(problem.template).train(training)
        self.stochastic = problem.stochastic
        self.seeds = list(seeds) if seeds is not None else [0] * len(population)
        self._parameter_slots = [self._slots(entry.name, *entry.ties, table="_parameters") for entry in self.layout]
        self._buffer_slots = [(name, self._other_slots(name)) for name in population.buffers]
        self._parameters = [self._parameters_of(member) for member in range(len(population))]
        self._buffers = [
            {name: buffer[member] for name, buffer in population.buffers.items()} for member in range(len(population))
        ]
        self._bound = -1

    def outputs(self, rows: slice, batch: Batch, step: int = 0) -> Any:
        """Outputs (rows, batch, ...), without gradients."""
        with torch.no_grad():
            return _stack([self._forward(member, batch.member(member)[0], step) for member in self._members(rows)])

    @torch.enable_grad()
    def gradient(
        self, rows: slice, batch: Batch, out: Float[Tensor, "members parameters"], step: int = 0
    ) -> Float[Tensor, " rows"]:
        """Mean losses of the rows on the batch; their gradients are written to out[rows]."""
        losses = []
        for member in self._members(rows):
            inputs, targets = batch.member(member)
            loss = self.problem.loss.mean(self._forward(member, inputs, step), targets)
            parts = torch.autograd.grad(loss, self._parameters[member], materialize_grads=True)
            torch.cat([part.reshape(-1) for part in parts], out=out[member])
            losses.append(loss.detach())
        return torch.stack(losses)

    def _members(self, rows: slice) -> range:
        return range(*rows.indices(len(self._parameters)))

    def _forward(self, member: int, inputs: Any, step: int) -> Any:
        self._bind(member)
        stream = global_stream(self.seeds[member], "forward", step) if self.stochastic else contextlib.nullcontext()
        with stream:
            outputs = call(self.module, inputs)
        self._keep_buffers(member)
        return outputs

    def _bind(self, member: int) -> None:
        if member == self._bound:
            return
        for slots, parameter in zip(self._parameter_slots, self._parameters[member], strict=True):
            for table, leaf in slots:
                table[leaf] = parameter
        for name, slots in self._buffer_slots:
            for table, leaf in slots:
                table[leaf] = self._buffers[member][name]
        self._bound = member

    def _keep_buffers(self, member: int) -> None:
        """A module may replace a buffer instead of writing into it; bring the new value into the population."""
        for name, slots in self._buffer_slots:
            table, leaf = slots[0]
            if table[leaf] is not self._buffers[member][name]:
                with torch.no_grad():
                    self._buffers[member][name].copy_(table[leaf])
                table[leaf] = self._buffers[member][name]

    def _parameters_of(self, member: int) -> list[nn.Parameter]:
        return [nn.Parameter(view) for view in self.layout.views(self.theta[member]).values()]

    def _other_slots(self, name: str) -> list[tuple[dict[str, Any], str]]:
        """Where a frozen parameter or a buffer is kept, which may be tied too (see `_slots`)."""
        for table, named in (("_parameters", "named_parameters"), ("_buffers", "named_buffers")):
            tensors = dict(getattr(self.module, named)(remove_duplicate=False))
            if name in tensors:
                return self._slots(*(n for n, tensor in tensors.items() if tensor is tensors[name]), table=table)
        msg = f"the model has no parameter or buffer {name!r}"
        raise KeyError(msg)

    def _slots(self, *names: str, table: str) -> list[tuple[dict[str, Any], str]]:
        """Where a tensor is kept: (the owning module's dictionary, its key there), for each of its names."""
        slots = []
        for name in names:
            path, _, leaf = name.rpartition(".")
            slots.append((getattr(self.module.get_submodule(path), table), leaf))
        return slots


def _stack(trees: list[Any]) -> Any:
    return tree_map(lambda *leaves: torch.stack(leaves), *trees)


@torch.enable_grad()
def activation_bytes(problem: Problem, population: Population, batch: Batch, *, training: bool) -> int:
    """Bytes that the backward pass of one member keeps alive, measured on its first member."""
    member = Looped(problem, population[0].copy(), training=training)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs, targets = batch.member(0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        problem.loss.mean(member._forward(0, inputs, 0), targets)
    kept.pop(member.theta.untyped_storage().data_ptr(), None)
    return max(1, sum(kept.values()))
