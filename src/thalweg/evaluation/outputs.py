"""What the members of a population answer to examples."""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.evaluation.evaluate import evaluator_of
from thalweg.evaluation.sample import Sample
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem


@torch.no_grad()
@guarded
def outputs(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None = None,
    *,
    rows: Tensor | ArrayLike | None = None,
    plan: Plan | str = "auto",
) -> Any:
    """What every member's model returns for examples, in evaluation mode: (members, examples, ...).

    Buffers that the model changes are put back.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> tw.evaluation.outputs(problem, population, on="test").shape
    torch.Size([2, 360, 10])
    >>> tw.evaluation.outputs(problem, population, on="train", rows=[[0, 1, 2], [7, 8, 9]]).shape
    torch.Size([2, 3, 10])

    Args:
        problem, population: what is evaluated; they are only read.
        on: the examples; None is the test set, or the training set where there is none.
        rows: which of them each member is given, by index: (members, n), such as `run.examples`; None: all.
        plan: see `train`.

    Returns:
        one tensor, or a tuple or dict of them if the model returns such.

    Raises:
        UsageError: examples that cannot be meant, or a population of another problem.

    Cost: one forward pass of every member. Memory: all outputs.
    """
    return evaluator_of("outputs", problem, population, on, rows=rows, plan=plan).outputs()


def outputs_in_parts(
    problem: Problem, population: Population, examples: ExampleSet, *, plan: Plan | str = "auto"
) -> Iterator[tuple[ExampleSet, Any]]:
    """Some examples after others and what every member returns for them (see `outputs`), all in their order.

    >>> import thalweg as tw
    >>> from thalweg.evaluation.outputs import outputs_in_parts
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), memory_budget=2 * 10 * 4 * 200)
    >>> parts = outputs_in_parts(problem, problem.initialize(2), problem.data.test)
    >>> [(len(examples), answers.shape) for examples, answers in parts]
    [(200, torch.Size([2, 200, 10])), (160, torch.Size([2, 160, 10]))]

    Cost: that of `outputs`, and an example. Memory: the outputs of all members for as many examples as fit the
    problem's memory budget, at least one.
    """
    one = tree_leaves(outputs(problem, population, examples.select(torch.arange(1)), plan="looped"))
    size = max(1, problem.memory_budget // max(1, sum(leaf.numel() * leaf.element_size() for leaf in one)))
    for start in range(0, len(examples), size):
        some = examples.select(torch.arange(start, min(start + size, len(examples))))
        yield some, outputs(problem, population, some, plan=plan)
