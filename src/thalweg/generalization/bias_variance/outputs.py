"""What the members of a population predict, as one array, in the form that a loss is divided in."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from thalweg.data import ExampleSet
from thalweg.data.trees import Tree
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample, outputs
from thalweg.evaluation.batch_size import EXAMPLES_AT_ONCE
from thalweg.guard import guarded
from thalweg.losses import CrossEntropy, Logistic
from thalweg.population import Population, Problem

Array = NDArray[np.float64]


@guarded
def predictions(
    problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "test", loss: str = "squared_error"
) -> tuple[Array, Array]:
    """What every member predicts of every example, and the targets, both as `decompose_predictions` takes them.

    For "squared_error": outputs, or where the problem's loss is of classes the probabilities of these, with one-hot
    targets (the Brier score). For "cross_entropy": logits, with classes. What stands behind the examples, such as
    positions of a text, are cases too where the loss is of classes.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found, targets = tw.generalization.bias_variance.predictions(problem, problem.initialize(3))
    >>> found.shape, targets.shape, bool(abs(found.sum(2) - 1).max() < 1e-6)
    ((3, 360, 10), (360, 10), True)

    Args:
        problem, population: what is evaluated, in evaluation mode; they are only read.
        on: the examples, the test set by default.
        loss: how the predictions are to be scored.

    Returns:
        predictions (members, cases, outputs), targets (cases, outputs), or classes (cases,) for "cross_entropy".

    Raises:
        UsageError: outputs that are not like the targets, or "cross_entropy" of what are no classes.

    Cost: one evaluation of every member.
    """
    check_type("predictions problem", problem, Problem, "a Problem")
    check_type("predictions population", population, Population, "a Population such as run.final")
    examples = as_sample("predictions", on).draw(problem).examples
    found, targets = _one_tensor(outputs(problem, population, examples)).double().cpu(), _targets(examples)
    if isinstance(problem.loss, CrossEntropy | Logistic):
        logits, labels = _of_classes(problem.loss, found, targets)
        if loss == "cross_entropy":
            return logits.numpy(), labels.numpy()
        return logits.softmax(-1).numpy(), one_hot(labels, logits.shape[-1]).double().numpy()
    if loss == "cross_entropy":
        msg = f"The loss of the problem is {problem.loss.name!r}, so its outputs are no logits of classes; "
        raise UsageError(msg + "write loss='squared_error'.")
    if found.shape[1:] != targets.shape:
        msg = f"The model's outputs {tuple(found.shape[1:])} are not like the targets {tuple(targets.shape)}; "
        raise UsageError(
            msg + "make both arrays as you mean them, and call decompose_predictions or audit_predictions."
        )
    members, cases = found.shape[:2]  # a model may have one output without an axis for it
    return found.reshape(members, cases, -1).numpy(), targets.double().reshape(cases, -1).numpy()


def _targets(examples: ExampleSet) -> Tensor:
    """Of all examples; streamed ones are read a few at a time."""
    parts = [examples.slice(start, start + EXAMPLES_AT_ONCE)[1] for start in range(0, len(examples), EXAMPLES_AT_ONCE)]
    return torch.cat([_one_tensor(part) for part in parts]).cpu()


def _one_tensor(found: Tree) -> Tensor:
    write = "one tensor; otherwise make arrays and call decompose_predictions or audit_predictions"
    check_type("What the model returns, and what it is to predict,", found, Tensor, write)
    return found  # type: ignore[return-value]


def _of_classes(loss: CrossEntropy | Logistic, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (members, cases, classes) and classes (cases,), without ignored targets."""
    if isinstance(loss, Logistic):  # the logit of class 1; that of class 0 is 0
        outputs = torch.stack([torch.zeros_like(outputs), outputs], -1)
    logits, labels = outputs.flatten(1, -2), targets.flatten().long()
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None:
        logits, labels = logits[:, labels != ignored], labels[labels != ignored]
    return logits, labels
