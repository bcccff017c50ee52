"""Derivatives of every member's loss and outputs, row by row.

All functions take the model in evaluation mode (running statistics frozen, no dropout) and return one
row a member. A row's derivative depends on that row alone, so members never mix.
"""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp
from torch.utils._pytree import tree_map

from thalweg.errors import ModelError, UsageError
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.batch import Batch
from thalweg.population.binding import call
from thalweg.population.execution import explained
from thalweg.population.layout import Vectors
from thalweg.population.looped import activations
from thalweg.population.padding import Padding
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.stacked import plain_attention

Row = Callable[..., Any]
_TANGENTS = 4  # copies of the activations that a derivative in forward mode keeps, at most


def gradient(problem: Problem, population: Population, batch: Batch) -> Vectors:
    """The gradient of every member's mean loss, in evaluation mode: (members, parameters).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> batch = tw.population.Batch.range(problem.data.train, 0, 100)
    >>> tw.population.gradient(problem, problem.initialize(3), batch).shape
    torch.Size([3, 650])

    Args:
        problem, population: only read.
        batch: the examples, shared by all members or one's own of each.

    Raises:
        ModelError: the model or the loss draws random numbers in evaluation mode.

    Cost: one forward and one backward pass a member.
    """
    functions = _Functions(problem, population)
    return _map(problem, population, batch, grad(functions.loss))


def jacobian_product(problem: Problem, population: Population, vectors: Vectors, batch: Batch) -> Any:
    """J v: how the outputs (members, batch, ...) change along each member's vector. Cost: one forward-mode pass."""
    functions = _Functions(problem, population)

    def row(theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any, vector: Tensor) -> Any:
        return jvp(lambda point: functions.outputs(point, buffers, inputs), (theta,), (vector,))[1]

    return _map(problem, population, batch, row, _checked(vectors, population))


def transposed_jacobian_product(problem: Problem, population: Population, cotangents: Any, batch: Batch) -> Vectors:
    """J^T u for u of the outputs' shape, members in front. Cost: one forward and one backward pass a member."""
    functions = _Functions(problem, population)

    def row(theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any, cotangent: Any) -> Tensor:
        return vjp(lambda point: functions.outputs(point, buffers, inputs), theta)[1](cotangent)[0]

    return _map(problem, population, batch, row, cotangents)


def check_differentiable(problem: Problem) -> None:
    """Raise ModelError where the model or the loss draws random numbers in evaluation mode."""
    check_steady(problem, "it has no derivative")


def check_steady(problem: Problem, otherwise: str) -> None:
    """Raise ModelError, saying what follows, where a call in evaluation mode draws or writes into parameters."""
    if problem.draws(training=False):
        msg = (
            f"The model or its loss draws random numbers in evaluation mode, so {otherwise}; "
            "draw in training mode only (if self.training), or pass the draws as inputs."
        )
        raise ModelError(msg)
    name = problem.written()
    if name is not None:
        msg = (
            f"The model writes into its parameter {name!r} in evaluation mode, so {otherwise}; compute with the "
            "changed values and leave the parameter as it is. Of an Embedding with max_norm bring the rows to that "
            "norm and leave max_norm out."
        )
        raise ModelError(msg)


class _Functions:
    """Outputs and mean loss as functions of one row."""

    def __init__(self, problem: Problem, population: Population) -> None:
        self.problem = problem
        self.layout = population.layout
        problem.check(population)
        check_differentiable(problem)
        self.module: nn.Module = copy.deepcopy(population.template).eval()
        self.running = tuple(population.running)
        self.pads = problem.pads(training=False)

    def outputs(self, theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any) -> Any:
        own = {name: buffers[name].clone() for name in self.running}  # the model may write into them
        tensors = {**self.layout.views(theta), **buffers, **own}
        with Padding() if self.pads else contextlib.nullcontext():
            return call(lambda *args, **names: functional_call(self.module, tensors, args, names), inputs)

    def loss(self, theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        return self.problem.loss.mean(self.outputs(theta, buffers, inputs), targets)


def _map(problem: Problem, population: Population, batch: Batch, row: Row, *extra: Any) -> Any:
    """The row function over all members: vmapped in chunks that fit the memory budget, or looped where vmap fails."""
    keep_freed_memory()
    shared = None if batch.shared else 0
    mapped = torch.vmap(row, in_dims=(0, 0, shared, shared, *(0 for _ in extra)))
    parameters = population.layout.parameters * population.theta.element_size()
    of_one = parameters + activations(problem, population, batch, training=False).peak
    size = max(1, problem.memory_budget // (_TANGENTS * of_one))
    with explained(batch), plain_attention(), warnings.catch_warnings():
        # torch warns of a part of itself that jvp still uses, and of operations that vmap loops over.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            parts = [mapped(*arguments) for arguments in _arguments(population, batch, extra, size)]
        except (RuntimeError, ValueError) as error:
            if "vmap" not in str(error) and "atching rule" not in str(error):
                raise
            rows = _arguments(population, batch, extra, 1)
            parts = [_in_front(row(*_single(arguments, shared=batch.shared))) for arguments in rows]
    return tree_map(lambda *leaves: torch.cat(leaves), *parts)


def _arguments(population: Population, batch: Batch, extra: tuple[Any, ...], size: int) -> Iterator[tuple[Any, ...]]:
    """What the mapped function takes, `size` members at a time."""
    for start in range(0, len(population), size):
        rows = slice(start, min(start + size, len(population)))
        members, some = population[rows], batch.rows(rows)
        chosen = [tree_map(lambda tensor, rows=rows: tensor[rows], tree) for tree in extra]
        yield members.theta, dict(members.buffers), some.inputs, some.targets, *chosen


def _single(arguments: tuple[Any, ...], *, shared: bool) -> list[Any]:
    """The arguments of a single row: without the members' dimension."""
    first = lambda tree: tree_map(lambda tensor: tensor[0], tree)  # noqa: E731
    return [tree if shared and place in (2, 3) else first(tree) for place, tree in enumerate(arguments)]


def _in_front(tree: Any) -> Any:
    return tree_map(lambda tensor: tensor.unsqueeze(0), tree)


def _checked(vectors: Tensor, population: Population) -> Tensor:
    if vectors.shape != population.theta.shape:
        msg = (
            f"Vectors must have theta's shape {tuple(population.theta.shape)} (one a member), "
            f"got {tuple(vectors.shape)}."
        )
        raise UsageError(msg)
    return vectors
