"""Derivatives member by member by plain autograd, for models that torch.func cannot differentiate as they are.

Their forward pass takes derivatives itself, or their backward pass runs hooks or reads the module again: then the
module that is called must be a plain one, and stay bound to its member until the backward pass is done.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from thalweg.population.attention import plain_attention
from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call
from thalweg.population.layout import Vectors
from thalweg.population.population import Population
from thalweg.population.problem import Problem

Member = Callable[[int, list[Tensor], Any, Any], Any]  # its number, its leaves, outputs on the batch, targets


def plain_gradient(problem: Problem, population: Population, batch: Batch) -> Vectors:
    """See `derivatives.gradient`."""

    def of(member: int, leaves: list[Tensor], outputs: Any, targets: Any) -> Tensor:
        loss = problem.loss.mean(outputs, targets)
        return _flat(torch.autograd.grad(loss, leaves, materialize_grads=True))

    return _each(problem, population, batch, of)


def plain_jacobian_product(problem: Problem, population: Population, vectors: Vectors, batch: Batch) -> Any:
    """See `derivatives.jacobian_product`. J v is the derivative along v of u -> J^T u, which is linear."""

    def of(member: int, leaves: list[Tensor], outputs: Any, targets: Any) -> Any:
        values, form = tree_flatten(outputs)
        moving = [value for value in values if value.requires_grad]
        weights = [torch.zeros_like(value).requires_grad_() for value in moving]
        pulled = torch.autograd.grad(moving, leaves, weights, create_graph=True, materialize_grads=True)
        parts = list(problem.layout.views(vectors[member]).values())
        used = [place for place, part in enumerate(pulled) if part.requires_grad]
        made, along = [pulled[place] for place in used], [parts[place] for place in used]
        changes = iter(
            torch.autograd.grad(made, weights, along, materialize_grads=True) if used and moving else weights
        )
        found = [next(changes).detach() if value.requires_grad else torch.zeros_like(value) for value in values]
        return tree_unflatten(found, form)

    return _each(problem, population, batch, of)


def plain_transposed_product(problem: Problem, population: Population, cotangents: Any, batch: Batch) -> Vectors:
    """See `derivatives.transposed_jacobian_product`."""

    def of(member: int, leaves: list[Tensor], outputs: Any, targets: Any) -> Tensor:
        pairs = zip(tree_leaves(outputs), (one[member] for one in tree_leaves(cotangents)), strict=True)
        chosen = [(value, weight) for value, weight in pairs if value.requires_grad]
        if not chosen:
            return _flat([torch.zeros_like(leaf) for leaf in leaves])
        values, weights = zip(*chosen, strict=True)
        return _flat(torch.autograd.grad(values, leaves, weights, materialize_grads=True))

    return _each(problem, population, batch, of)


@torch.enable_grad()
def _each(problem: Problem, population: Population, batch: Batch, of: Member) -> Any:
    population = population.with_own_buffers()
    bound = Bound(problem.template, population, training=False)
    results = []
    with plain_attention():
        for member in range(len(population)):
            views = population.layout.leaves(population.theta[member])
            leaves = [view.detach().requires_grad_() for view in views.values()]
            bound.bind(leaves, {name: buffer[member] for name, buffer in population.buffers.items()})
            inputs, targets = batch.member(member)
            results.append(of(member, leaves, call(bound.module, inputs), targets))
    return tree_map(lambda *parts: torch.stack(parts), *results)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])
