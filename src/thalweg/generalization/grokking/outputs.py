"""What members answer to given examples."""

from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import outputs
from thalweg.population import Population, Problem


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


def logits(
    problem: Problem,
    population: Population,
    examples: ExampleSet,
    rows: Int64[Tensor, "members rows"] | None = None,
) -> Float[Tensor, "members examples classes"]:
    """Of all members, in evaluation mode; on rows of their own, or on all examples.

    Raises:
        ModelError: the model does not return one row of numbers an example.
    """
    found = outputs(problem, population, examples, rows=rows)
    if not isinstance(found, Tensor) or found.ndim != 3:
        msg = "The standing of an answer among the classes needs a model that returns (batch, classes)."
        raise ModelError(msg)
    return found.double()
