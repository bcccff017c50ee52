"""Tangent kernels of finite networks, as tensors."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import UsageError, check_choice
from thalweg.ntk.gram.features import Model
from thalweg.ntk.gram.memory import numbers_of, tiling_of
from thalweg.ntk.gram.parts import plan_of
from thalweg.ntk.gram.tiles import fill
from thalweg.population import Population, Problem
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.derivatives import check_differentiable

Outputs = Literal["full", "trace", "diagonal", "sum"]
Method = Literal["automatic", "layers", "jacobian", "products"]
OUTPUTS, METHODS = ("full", "trace", "diagonal", "sum"), ("automatic", "layers", "jacobian", "products")


def empirical_kernels(
    problem: Problem,
    population: Population,
    inputs: Any,
    others: Any | None = None,
    *,
    outputs: Outputs = "full",
    method: Method = "automatic",
    memory_budget: int | None = None,
) -> Tensor:
    """The tangent kernel of every member, as a tensor; `empirical` returns it with all that belongs to it.

    Theta[x, x', c, c'] = sum over active parameters of (d f_c(x) / d theta) (d f_c'(x') / d theta)

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> inputs, _ = problem.data.train.slice(0, 5)
    >>> tw.ntk.empirical_kernels(problem, problem.initialize(3), inputs).shape
    torch.Size([3, 5, 5, 10, 10])
    """
    found = kernels(
        problem, population, inputs, others, outputs=outputs, method=method, memory_budget=memory_budget,
        label=lambda name: "kernel", done=lambda done, total: None,
    )  # fmt: skip
    return found["kernel"]


@torch.no_grad()
def kernels(
    problem: Problem,
    population: Population,
    inputs: Any,
    others: Any | None,
    *,
    outputs: str,
    method: str,
    memory_budget: int | None,
    label: Callable[[str], str],
    done: Callable[[int, int], None],
) -> dict[str, Tensor]:
    """The kernel of the parameters of every label."""
    keep_freed_memory()
    problem.check(population)
    check_differentiable(problem)
    check_choice("outputs", outputs, OUTPUTS)
    check_choice("method", method, METHODS)
    if outputs == "diagonal" and others is not None:
        msg = 'outputs="diagonal" is of every example with itself, so there are no others; leave them out.'
        raise UsageError(msg)
    inputs, others = (None if one is None else _placed(one, problem) for one in (inputs, others))
    plan = plan_of(problem, population, inputs, "jacobian" if method == "jacobian" else "layers", label)
    first = tree_map(lambda leaf: leaf[:1], inputs)
    count = Model(problem, None, {}, ()).outputs(population[:1], first).shape[-1]
    theta = population.theta
    cotangents = (
        theta.new_ones(1, count) if outputs == "sum" else torch.eye(count, dtype=theta.dtype, device=theta.device)
    )
    form = "full" if outputs == "sum" else outputs
    rows, columns = len(tree_leaves(inputs)[0]), len(tree_leaves(inputs if others is None else others)[0])
    each = len(cotangents)
    shape = {"full": (rows, each, columns, each), "trace": (rows, columns), "diagonal": (rows, each)}[form]
    labels = list(dict.fromkeys(label(entry.name) for entry in population.layout))
    budget = (problem.memory_budget if memory_budget is None else memory_budget) // theta.element_size()
    made = {name: theta.new_zeros(len(theta), *shape) for name in labels}
    room = budget - sum(one.numel() for one in made.values())
    if room < 1:
        msg = (
            f"The kernel alone needs {(budget - room) * theta.element_size():,} bytes, more than the memory budget of "
            f"{budget * theta.element_size():,}; take fewer examples or members, outputs='trace', or raise memory_budget."
        )
        raise UsageError(msg)
    tiling = tiling_of(numbers_of(problem, population, inputs, plan), len(theta), rows, columns, each, room)
    fill(made, form, plan, population, inputs, others, cotangents, tiling, label, done)
    if outputs == "sum":
        return {name: one[:, :, 0, :, 0] for name, one in made.items()}
    return {name: one.transpose(2, 3) if form == "full" else one for name, one in made.items()}


def _placed(inputs: Any, problem: Problem) -> Any:
    """On the problem's device, floating ones in its dtype."""
    return tree_map(lambda leaf: leaf.to(problem.device, problem.dtype if leaf.is_floating_point() else None), inputs)
