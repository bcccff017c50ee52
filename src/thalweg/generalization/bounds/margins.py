"""By how much each answer is right: the margins of every member's outputs."""

import numpy as np
import torch
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError
from thalweg.evaluation import Sample, as_sample, outputs
from thalweg.evaluation.batch_size import EXAMPLES_AT_ONCE
from thalweg.generalization.bounds.arguments import Array
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75)  # of the margins, at which bounds by margins are tried


@guarded
def margins(
    problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train", plan: Plan | str = "auto"
) -> Array:
    """The output of the right class minus the largest other, of each example: (members, examples).

    Of one output, whose sign is the answer, it is that output, or minus that. An answer is wrong where it is not above
    0; one that is not finite has the margin -infinity.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> found = tw.generalization.bounds.margins(problem, population)
    >>> right = tw.evaluate(problem, population, on="train")["accuracy"].numpy()
    >>> found.shape, bool(((found > 0).mean(1) == right).all())
    ((2, 1437), True)

    Args:
        problem: with one class an example, or one answer of yes or no.
        population, plan: see `evaluate`.
        on: the examples.

    Raises:
        ModelError: outputs and targets that are no such classification.

    Cost: a forward pass of every member.
    """
    return margins_and_outputs(problem, population, as_sample("margins", on).draw(problem).examples, plan=plan)[0]


def margins_and_outputs(
    problem: Problem, population: Population, examples: ExampleSet, *, plan: Plan | str
) -> tuple[Array, int]:
    """The margins, and how many outputs decide: 1, or how many classes; see `margins`."""
    found = outputs(problem, population, examples, plan=plan)
    parts = [
        examples.slice(start, min(start + EXAMPLES_AT_ONCE, len(examples)))[1]
        for start in range(0, len(examples), EXAMPLES_AT_ONCE)
    ]
    targets = [part for part in parts if isinstance(part, Tensor)]
    if isinstance(found, Tensor) and len(targets) == len(parts):
        at = torch.cat(targets).to(found.device)
        classes = at.ndim == 1 and not at.is_floating_point() and bool((at >= 0).all())
        if classes and found.ndim == 3 and found.shape[2] > 1:
            return _clean(_of_classes(found, at)), found.shape[2]
        if classes and found.ndim == 3:
            msg = (
                "margins need two classes at least, and this model has one output for one class, so that every answer "
                "is right; write a problem with the loss 'logistic' where the output says yes or no."
            )
            raise ModelError(msg)
        if found[0].numel() == len(at) and at.numel() == len(at):
            sign = (at.reshape(-1) > 0.5).to(found.dtype) * 2 - 1
            return _clean(found.reshape(len(found), -1) * sign), 1
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    msg = (
        f"margins are of one class an example (outputs (members, examples, classes)) or of one yes or no; got outputs "
        f"{shape}."
    )
    raise ModelError(msg)


def _of_classes(found: Tensor, targets: Tensor) -> Tensor:
    index = targets.expand(len(found), -1).unsqueeze(2)
    right = found.gather(2, index).squeeze(2)
    return right - found.scatter(2, index, -torch.inf).amax(2)


def _clean(found: Tensor) -> Array:
    values = found.double().cpu().numpy()
    return np.where(np.isfinite(values), values, -np.inf)
