"""Derivatives of every member's loss and outputs, row by row.

All functions take the model in evaluation mode (running statistics frozen, no dropout) and return one
row a member. A row's derivative depends on that row alone, so members never mix.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError, UsageError
from thalweg.guard import guarded
from thalweg.population.agreement import Named, compare
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.alone import moved, named_outputs
from thalweg.population.attention import mapped_attention
from thalweg.population.audit_draws import due_member
from thalweg.population.audits import found_other, one_of
from thalweg.population.batch import Batch
from thalweg.population.binding import call
from thalweg.population.copying import copied
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.execution import explained
from thalweg.population.layout import Vectors
from thalweg.population.looped import activations
from thalweg.population.one_function import note_two_paths
from thalweg.population.padding import Padding
from thalweg.population.plain_derivatives import (
    plain_gradient,
    plain_jacobian_product,
    plain_transposed_product,
)
from thalweg.population.population import Population
from thalweg.population.problem import Problem

Row = Callable[..., Any]
_TANGENTS = 4  # copies of the activations that a derivative in forward mode keeps, at most


@guarded
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
    if functions.alone:
        return plain_gradient(problem, population, batch)

    def plain(theta: Tensor, *others: Any) -> Tensor:
        point = theta.detach().requires_grad_()
        with torch.enable_grad():
            loss = functions.loss(point, *others)
        return torch.autograd.grad(loss, point, materialize_grads=True)[0]

    return _map(problem, population, batch, grad(functions.loss), plain=plain)


def jacobian_product(problem: Problem, population: Population, vectors: Vectors, batch: Batch) -> Any:
    """J v: how the outputs (members, batch, ...) change along each member's vector. Cost: one forward-mode pass."""
    functions = _Functions(problem, population)
    if functions.alone:
        check_twice_differentiable(problem, "fisher")  # of the three, what a derivative along a vector needs
        return plain_jacobian_product(problem, population, _checked(vectors, population), batch)

    def row(theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any, vector: Tensor) -> Any:
        return jvp(lambda point: functions.outputs(point, buffers, inputs), (theta,), (vector,))[1]

    return _map(problem, population, batch, row, _checked(vectors, population))


def transposed_jacobian_product(problem: Problem, population: Population, cotangents: Any, batch: Batch) -> Vectors:
    """J^T u for u of the outputs' shape, members in front. Cost: one forward and one backward pass a member."""
    functions = _Functions(problem, population)
    if functions.alone:
        return plain_transposed_product(problem, population, cotangents, batch)

    def row(theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any, cotangent: Any) -> Tensor:
        return vjp(lambda point: functions.outputs(point, buffers, inputs), theta)[1](cotangent)[0]

    def plain(theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any, cotangent: Any) -> Tensor:
        point = theta.detach().requires_grad_()
        with torch.enable_grad():
            pairs = zip(tree_leaves(functions.outputs(point, buffers, inputs)), tree_leaves(cotangent), strict=True)
        moving = [pair for pair in pairs if pair[0].requires_grad]
        values, weights = zip(*moving, strict=True) if moving else ((), ())
        return torch.autograd.grad(values, point, weights)[0] if moving else torch.zeros_like(theta)

    return _map(problem, population, batch, row, cotangents, plain=plain)


def check_differentiable(problem: Problem) -> None:
    """Raise ModelError where the model or the loss draws random numbers in evaluation mode."""
    if torch.is_inference_mode_enabled():
        msg = "Nothing can be differentiated within torch.inference_mode(); call this outside of it, or in no_grad()."
        raise UsageError(msg)
    check_steady(problem, "it has no derivative")
    hooked = problem.inspected(training=False).hooked
    if hooked:
        msg = (
            f"The gradient hook on the parameter {hooked!r} changes what is taken for the gradient, so it is of no "
            "loss that could be measured; leave it out to measure derivatives. What is to stay as it is can be frozen "
            "by requires_grad_(False), or in training by train(mask=...)."
        )
        raise ModelError(msg)
    note_two_paths(problem)


def check_functional(problem: Problem) -> None:
    """Raise ModelError where the model cannot be differentiated as a function of its parameters by torch.func."""
    check_differentiable(problem)
    alone = problem.inspected(training=False).alone
    if alone:
        msg = (
            f"This needs the model as a function of its parameters, and {alone}. Losses, gradients and curvature "
            "matrices of it work as they are; for this, write its forward and backward pass without that."
        )
        raise ModelError(msg)


def check_steady(problem: Problem, otherwise: str) -> None:
    """Raise ModelError, saying what follows, where a call in evaluation mode draws; see `Problem.draws` for others."""
    if problem.draws(training=False):
        msg = (
            f"The model or its loss draws random numbers in evaluation mode, so {otherwise}; "
            "draw in training mode only (if self.training), or pass the draws as inputs."
        )
        raise ModelError(msg)


class _Functions:
    """Outputs and mean loss as functions of one row."""

    def __init__(self, problem: Problem, population: Population) -> None:
        self.problem = problem
        self.layout = population.layout
        problem.check(population)
        check_differentiable(problem)
        self.alone = problem.inspected(training=False).alone
        self.module: nn.Module = copied(problem.template).eval()
        self.running = tuple(population.running)
        self.pads = problem.pads(training=False)

    def outputs(self, theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any) -> Any:
        own = {name: buffers[name].clone() for name in self.running}  # the model may write into them
        tensors = {**self.layout.leaves(theta), **buffers, **own}
        with Padding() if self.pads else contextlib.nullcontext():
            return call(lambda *args, **names: functional_call(self.module, tensors, args, names), inputs)

    def loss(self, theta: Tensor, buffers: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        return self.problem.loss.mean(self.outputs(theta, buffers, inputs), targets)


def _map(
    problem: Problem, population: Population, batch: Batch, row: Row, *extra: Any, plain: Row | None = None
) -> Any:
    """The row function over all members: vmapped in chunks that fit the memory budget, or looped where vmap fails.

    Now and then a member drawn at random is done again without vmap, by the plain module's own backward pass if there
    is one for it, and all members are where that is another result. A single member is done that way at once.
    """
    keep_freed_memory()
    one, shared = plain or row, batch.shared
    with explained(batch), mapped_attention(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of a part of itself that jvp still uses
        if len(population) > 1 and not problem.unstacked:
            found = _mapped(problem, population, batch, row, extra)
            if found is not None and not _other(problem, population, batch, one, extra, found):
                return found
        rows = _arguments(population, batch, extra, 1)
        parts = [_in_front(one(*_single(arguments, shared=shared))) for arguments in rows]
    return tree_map(lambda *leaves: torch.cat(leaves), *parts)


def _mapped(problem: Problem, population: Population, batch: Batch, row: Row, extra: tuple[Any, ...]) -> Any:
    """The row function vmapped over members; None where vmap cannot."""
    shared = None if batch.shared else 0
    mapped = torch.vmap(row, in_dims=(0, 0, shared, shared, *(0 for _ in extra)))
    parameters = population.layout.parameters * population.theta.element_size()
    of_one = parameters + activations(problem, population, batch, training=False).peak
    size = max(1, problem.memory_budget // (_TANGENTS * of_one))
    try:
        parts = [mapped(*arguments) for arguments in _arguments(population, batch, extra, size)]
    except (RuntimeError, ValueError) as error:
        if "vmap" not in str(error) and "atching rule" not in str(error):
            raise
        return None
    return tree_map(lambda *leaves: torch.cat(leaves), *parts)


def _other(
    problem: Problem, population: Population, batch: Batch, row: Row, extra: tuple[Any, ...], found: Any
) -> bool:
    """Whether an audit is due and finds that a member without vmap has another result; it is said then."""
    audited = due_member(problem, "derivatives", population)
    if audited is None:
        return False
    member = audited[1]
    only = slice(member, member + 1)
    own = [tree_map(lambda tensor: tensor[only], tree) for tree in extra]

    def alone(size: float, draw: int) -> Named:
        one, seen = moved(population[only], batch.rows(only), size, draw)
        arguments = next(_arguments(one, seen, tuple(own), 1))
        return named_outputs(_in_front(row(*_single(arguments, shared=batch.shared))), {})

    difference = compare(named_outputs(one_of(found, member), {}), alone(0.0, 0), alone, problem.precision)
    if difference is None or difference.rounding:
        return False
    found_other(problem, difference, f"member {member} in a derivative")
    return True


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
