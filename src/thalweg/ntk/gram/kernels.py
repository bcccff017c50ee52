"""Kernels of a population by the method of the fewest multiply-adds, within a byte budget."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.errors import UsageError, check_choice, check_type
from thalweg.ntk.gram.counting import Block
from thalweg.ntk.gram.counts import counts_of, forward_count
from thalweg.ntk.gram.features import Model
from thalweg.ntk.gram.memory import numbers_of, sizes_of, tiling_of
from thalweg.ntk.gram.parts import Plan, plan_of
from thalweg.ntk.gram.products import fill_by_products
from thalweg.ntk.gram.tiles import fill
from thalweg.ntk.gram.wanted import Wanted, count
from thalweg.population import Batch, Population, Problem
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.derivatives import check_functional
from thalweg.population.execution import explained

OUTPUTS, METHODS = ("full", "trace", "diagonal", "sum"), ("automatic", "layers", "jacobian", "products")


@dataclass(frozen=True, eq=False)
class Work:
    """A kernel that is wanted.

    Args:
        problem, population: of which model and members.
        inputs: of the rows' examples (examples, ...), on the problem's device and in its dtype.
        others: of the columns'; None: the same, of which the half is enough.
        outputs: "full", "trace", "diagonal" or "sum".
        plan: by layers, whether or not it is used.
        count: outputs of the model.
    """

    problem: Problem
    population: Population
    inputs: Any
    others: Any | None
    outputs: str
    plan: Plan
    count: int

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        problem: Problem,
        population: Population,
        inputs: Any,
        others: Any | None,
        outputs: str,
        label: Callable[[str], str],
    ) -> "Work":
        """What is asked for, checked.

        Raises:
            UsageError, ModelError: what cannot be meant or has no kernel.
        """
        check_type("The kernel's population", population, Population, "a Population such as run.final")
        problem.check(population)
        check_functional(problem)
        check_choice("outputs", outputs, OUTPUTS)
        if outputs == "diagonal" and others is not None:
            msg = 'outputs="diagonal" is of every example with itself, so there are no others; leave them out.'
            raise UsageError(msg)
        inputs, others = _placed(inputs, problem), None if others is None else _placed(others, problem)
        first = tree_map(lambda leaf: leaf[:1], inputs)
        with explained(Batch(first, first, shared=True)):
            outputs_each = Model(problem, None, {}, ()).outputs(population[:1], first).shape[-1]
            plan = plan_of(problem, population, inputs, "layers", label)
        return cls(problem, population, inputs, others, outputs, plan, outputs_each)

    @property
    def form(self) -> str:
        """As `Gram` has it: the sum of outputs is one output."""
        return "full" if self.outputs == "sum" else self.outputs

    @property
    def cotangents(self) -> Tensor:
        """Of every output of the kernel, along those of the model."""
        theta = self.population.theta
        return theta.new_ones(1, self.count) if self.outputs == "sum" else torch.eye(self.count).to(theta)

    @property
    def block(self) -> Block:
        """The whole kernel of a member."""
        rows, each = count(self.inputs), 1 if self.outputs == "sum" else self.count
        columns = rows if self.others is None else count(self.others)
        return Block(self.form, rows, columns, each, each)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a member's kernel, as `Gram` has it."""
        one = self.block
        if self.form == "full":
            return one.examples, one.outputs, one.others, one.other_outputs
        return one.examples, one.others if self.form == "trace" else one.outputs

    def counts(self) -> dict[str, int]:
        """Multiply-adds of every method."""
        forward = forward_count(self.problem, self.inputs)
        parameters = self.population.layout.parameters
        return counts_of(self.plan, self.block, forward, parameters, symmetric=self.others is None)

    def chosen(self, method: str) -> str:
        """The method, where it is left to the counts: the one of the fewest multiply-adds."""
        check_choice("method", method, METHODS)
        if method != "automatic":
            return method
        counts = self.counts()
        return min(counts, key=lambda name: counts[name])


@torch.no_grad()
def kernels(
    work: Work,
    method: str,
    memory_budget: int | None,
    label: Callable[[str], str],
    done: Callable[[int, int], None],
) -> Mapping[str, Tensor]:
    """The kernel of the parameters of every label, with members in front.

    Args:
        work: what is wanted.
        method: "layers", "jacobian" or "products".
        memory_budget: bytes that kernels and all else may take; None: the problem's.
        label: of every parameter.
        done: told how many tiles of how many.

    Raises:
        UsageError: the budget is too small.
    """
    keep_freed_memory()
    problem, population, block = work.problem, work.population, work.block
    theta, bytes_each = population.theta, population.theta.element_size()
    labels = list(dict.fromkeys(label(entry.name) for entry in population.layout))
    budget = problem.memory_budget if memory_budget is None else memory_budget
    check_type("memory_budget", budget, int, "a number of bytes, such as 2**30")
    own = len(labels) * len(theta) * math.prod(work.shape)
    if own * bytes_each >= budget:
        msg = (
            f"The kernel alone needs {own * bytes_each:,} bytes, and the memory budget is {budget:,}; take fewer "
            'examples or members, outputs="trace", or raise memory_budget.'
        )
        raise UsageError(msg)
    room = budget // bytes_each - own
    made = {name: theta.new_zeros(len(theta), *work.shape) for name in labels}
    wanted = Wanted(made, work.form, population, work.inputs, work.others, work.cotangents, label, done)
    plan = work.plan if method == "layers" else plan_of(problem, population, work.inputs, "jacobian", label)
    numbers = numbers_of(problem, population, work.inputs, plan)
    with explained(Batch(work.inputs, work.inputs, shared=True)):
        if method == "products":
            fill_by_products(wanted, work.plan.model, sizes_of(numbers, len(theta), block, room))
        else:
            fill(wanted, plan, tiling_of(numbers, len(theta), block, room, square=wanted.square))
    if work.outputs == "sum":
        return {name: one[:, :, 0, :, 0] for name, one in made.items()}
    return {name: one.transpose(2, 3) if work.form == "full" else one for name, one in made.items()}


def _placed(inputs: Any, problem: Problem) -> Any:
    """On the problem's device, floating ones in its dtype."""
    return tree_map(lambda leaf: leaf.to(problem.device, problem.dtype if leaf.is_floating_point() else None), inputs)
