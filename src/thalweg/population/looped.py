"""Rows evaluated one after the other: one private module, bound to each row in turn."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.losses.names import Loss
from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call
from thalweg.population.inspection import dense
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.rounding import OneWay
from thalweg.randomness import global_stream


class Looped:
    """A private copy of the model whose parameters are replaced by views of one row.

    Binding replaces entries of the modules' parameter dictionaries, so a call costs what a plain
    module costs. Each member draws its random numbers, the loss's too, from a stream (seed, "forward", step).

    Args:
        seeds: one per member, for models that draw random numbers; 0 for all by default.
    """

    def __init__(
        self, problem: Problem, population: Population, *, training: bool, seeds: Sequence[int] | None = None
    ) -> None:
        self.problem = problem
        self.loss: Loss | OneWay = problem.loss
        self.layout = population.layout
        self.theta = population.theta
        self.bound = Bound(problem.template, population, training=training)
        self.draws = problem.draws(training=training)
        self.seeds = list(seeds) if seeds is not None else [0] * len(population)
        self._parameters = [self._parameters_of(member) for member in range(len(population))]
        self.read(population.buffers)

    def read(self, buffers: Mapping[str, Tensor]) -> None:
        """From now on take these buffers (members, ...), which may be written into."""
        members = range(len(self._parameters))
        self._buffers = [{name: buffer[member] for name, buffer in buffers.items()} for member in members]
        self._last = -1

    @torch.no_grad()
    def outputs(self, rows: slice, batch: Batch, step: int = 0) -> Any:
        """Outputs (rows, batch, ...), without gradients."""
        results = []
        for member in self._members(rows):
            with self._stream(member, step):
                results.append(self._forward(member, batch.member(member)[0]))
            self._keep_replaced(member)
        return tree_map(lambda *leaves: torch.stack(leaves), *results)

    @torch.enable_grad()
    def gradient(
        self, rows: slice, batch: Batch, out: Float[Tensor, "members parameters"], step: int = 0
    ) -> Float[Tensor, " rows"]:
        """Mean losses of the rows on the batch; their gradients are written to out[rows]."""
        losses = []
        for member in self._members(rows):
            inputs, targets = batch.member(member)
            with self._stream(member, step):
                loss = self.loss.mean(self._forward(member, inputs), targets)
            parts = torch.autograd.grad(loss, self._parameters[member], materialize_grads=True)
            torch.cat([dense(part).reshape(-1) for part in parts], out=out[member])
            self._keep_replaced(member)
            losses.append(loss.detach())
        return torch.stack(losses)

    def _members(self, rows: slice) -> range:
        return range(*rows.indices(len(self._parameters)))

    def _stream(self, member: int, step: int) -> contextlib.AbstractContextManager[None]:
        return global_stream(self.seeds[member], "forward", step) if self.draws else contextlib.nullcontext()

    def _forward(self, member: int, inputs: Any) -> Any:
        buffers = self._buffers[member]
        if self.layout.uneven:
            self._read_uneven(member)
        if member != self._last:
            self.bound.bind(self._parameters[member], buffers)
            self._last = member
        return call(self.bound.module, inputs)

    @torch.no_grad()
    def _keep_replaced(self, member: int) -> None:
        """Bring buffers that the model replaced into the population, after the backward pass, which may need them."""
        buffers = self._buffers[member]
        replaced = self.bound.replaced(buffers)
        for name, tensor in replaced.items():
            if tensor is not None and tensor.shape == buffers[name].shape:
                buffers[name].copy_(tensor)
            else:
                self.bound.release(name)  # a cache, made anew in the size of the inputs
        if replaced:
            self.bound.bind(self._parameters[member], buffers)

    @torch.no_grad()
    def _read_uneven(self, member: int) -> None:
        """Bring numbers from theta into those tensors that are copies; see `Layout.leaves`."""
        views = self.layout.views(self.theta[member])
        for entry, parameter in zip(self.layout, self._parameters[member], strict=True):
            if entry.name in self.layout.uneven:
                parameter.copy_(views[entry.name])

    def _parameters_of(self, member: int) -> list[nn.Parameter]:
        parameters = [nn.Parameter(view) for view in self.layout.leaves(self.theta[member]).values()]
        for parameter, hooks in zip(parameters, self.bound.hooks, strict=True):
            for hook in hooks:
                parameter.register_hook(hook)
        return parameters


@dataclass(frozen=True)
class Activations:
    """Bytes that one member's activations on a batch take.

    Args:
        kept: what the backward pass keeps, with the tensors that hold the batch.
        peak: at most at any time, without the batch: what is kept, and two more of the largest while one is computed
            from the other, forward or backward.
    """

    kept: int
    peak: int


def activation_bytes(problem: Problem, population: Population, batch: Batch, *, training: bool) -> int:
    """Bytes that the backward pass of one member keeps in memory, measured on the first member."""
    return activations(problem, population, batch, training=training).kept


@torch.enable_grad()
def activations(problem: Problem, population: Population, batch: Batch, *, training: bool) -> Activations:
    """The bytes of one member's activations, measured on the first member.

    Raises:
        UsageError: members of another architecture than the problem's.
    """
    problem.check(population)
    member = Looped(problem, population[0].copy(), training=training)
    kept: dict[int, int] = {}
    saved: list[Tensor] = []  # the graph gets their numbers: a function that held its own output would never be freed

    def note(tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        saved.append(tensor)
        return len(saved) - 1

    inputs, targets = batch.member(0)
    try:
        with global_stream(0, "activations"), torch.autograd.graph.saved_tensors_hooks(note, saved.__getitem__):
            problem.loss.mean(member._forward(0, inputs), targets)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        # Where the model itself transforms functions (torch.func), no hooks are possible: by all that is computed.
        with _Made() as made:
            problem.loss.mean(member._forward(0, inputs), targets)
        return Activations(max(1, made.size), max(1, made.size))
    finally:
        saved.clear()
    kept.pop(member.theta.untyped_storage().data_ptr(), None)
    leaves = [leaf for leaf in tree_leaves((inputs, targets)) if isinstance(leaf, Tensor)]
    given = {leaf.untyped_storage().data_ptr() for leaf in leaves}
    made = [size for storage, size in kept.items() if storage not in given]
    return Activations(max(1, sum(kept.values())), max(1, sum(made) + 2 * max(made, default=0)))


class _Made(TorchFunctionMode):
    """The bytes of all tensors that functions return."""

    size = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not isinstance(found, nn.Parameter):
            self.size += found.numel() * found.element_size()
        return found
