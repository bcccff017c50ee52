"""What members answer to given examples."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Execution, Population, Problem

AT_ONCE = 2_048


def tensors(examples: ExampleSet) -> tuple[Tensor, Tensor]:
    """All inputs and targets.

    Raises:
        UsageError: they are not a tensor each.
    """
    inputs, targets = examples.slice(0, len(examples))
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        msg = (
            f"This needs a tensor of inputs and one of classes; got {type(inputs).__name__}, {type(targets).__name__}."
        )
        raise UsageError(msg)
    return inputs, targets


def logits(problem: Problem, population: Population, examples: ExampleSet) -> Float[Tensor, "members examples classes"]:
    """Of all members, in evaluation mode.

    Raises:
        ModelError: the model does not return one row of numbers an example.
    """
    parts = []
    for start in range(0, len(examples), AT_ONCE):
        batch = Batch.range(examples, start, min(start + AT_ONCE, len(examples)))
        execution = Execution(problem, population, batch, training=False, calls=1)
        rows = [outputs for _, outputs in execution.outputs(batch)]
        if not all(isinstance(one, Tensor) and one.ndim == 3 for one in rows):
            msg = "The standing of an answer among the classes needs a model that returns (batch, classes)."
            raise ModelError(msg)
        parts.append(torch.cat(rows))
    return torch.cat(parts, dim=1).double()
