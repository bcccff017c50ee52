"""Kernel ridge regression, also of classes."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.ntk.cholesky import Factored
from thalweg.ntk.dynamics_problem import KernelProblem, tensor_of
from thalweg.ntk.ridges import Ridge, ridges_of, said
from thalweg.results import Cost, Provenance, Reading, Result


@in_words
def regression(
    kernel: ArrayLike | Tensor, cross: ArrayLike | Tensor, targets: ArrayLike | Tensor, *, ridge: Ridge = 0.0
) -> Result:
    """Outputs of kernel ridge regression on training and test examples.

        f(X*) = K* (K + ridge I)^-1 y

    Without ridge and with the tangent kernel it is where gradient flow from 0 ends.

    Args:
        kernel, cross, targets: as in `gradient_descent`, also with members and blocks of outputs.
        ridge: added to the diagonal of the kernel as it is, as everywhere here: one number, or one for each member. A
            share of the kernel's size, which means the same at any scale, is 1e-3 * kernel.diagonal().mean().

    Returns:
        "test" and "train" outputs (member, example, output); "jitter", "effective rank" and "residual" (member,), as
        in `posterior`.

    Raises:
        UsageError: as `posterior`.

    Cost: rows^3 / 3 for each kernel, with rows = n, or n C where it has blocks of outputs.

    >>> import torch
    >>> import thalweg as tw
    >>> kernel, cross = torch.eye(2), torch.tensor([[0.5, 0.0]])
    >>> tw.ntk.regression(kernel, cross, torch.tensor([1.0, 2.0]), ridge=1.0)["test"].round(6).tolist()
    [[[0.25]]]
    """
    began = time.perf_counter()
    problem = KernelProblem.of(kernel, cross, targets)
    beside = problem.cross
    if beside is None:
        msg = "regression needs the kernel of test and training examples: give cross."
        raise UsageError(msg)
    added = ridges_of("regression", ridge, problem.members, problem.kernel.device)
    problem = problem.with_members(len(added), "ridges")
    kernel = problem.kernel.expand(max(len(problem.kernel), len(added)), -1, -1)
    factored = Factored.of(kernel, added)
    alpha = factored.solve(problem.targets)
    arrays = {
        "test": problem.by_example(beside @ alpha),
        "train": problem.by_example(problem.kernel @ alpha),
        "jitter": factored.jitter,
        "effective rank": factored.effective_rank,
        "residual": factored.residual(problem.targets, alpha),
    }
    dims = {
        "test": ("member", "test example", "output"),
        "train": ("member", "example", "output"),
        **dict.fromkeys(("jitter", "effective rank", "residual"), ("member",)),
    }
    many = problem.members
    notes = (*factored.notes, *factored.unfitted(arrays["residual"]))
    reading = Reading(
        "kernel regression",
        {name: one.expand(many, *one.shape[1:]).cpu().numpy() for name, one in arrays.items()},
        dims,
        sample_size=len(factored.kernel[0]),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(None, str(alpha.device), "float64"),
        notes=(said(added), *notes),
    )
    return Result(reading)


@in_words
def one_hot(labels: ArrayLike | Tensor, classes: int | None = None) -> Tensor:
    """Targets of squared error for classes: 1 for the own class and 0 for others, minus 1/C.

    Args:
        labels: whole numbers from 0: (n,).
        classes: C; None: as many as the largest label says.

    Returns:
        (n, C), rows of sum 0, in float64.

    Raises:
        UsageError: labels that are no classes.

    >>> import thalweg as tw
    >>> tw.ntk.one_hot([1, 0]).tolist()
    [[-0.5, 0.5], [0.5, -0.5]]
    """
    known = _labels(labels)
    count = int(known.max()) + 1 if classes is None else classes
    if int(known.min()) < 0 or int(known.max()) >= count:
        msg = f"Labels are from 0 to below {count} classes; got from {int(known.min())} to {int(known.max())}."
        raise UsageError(msg)
    return torch.nn.functional.one_hot(known, count).to(torch.float64) - 1 / count


@in_words
def accuracy(outputs: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> NDArray[np.float64]:
    """Share of examples whose largest output is that of their class, or, of one output, has the sign of their target.

    Args:
        outputs: (..., n, C), such as `path["test"]`.
        labels: classes (n,); of one output values whose sign counts, such as -1 and 1.

    Returns:
        (...,).

    Raises:
        UsageError: not as many labels as examples, or, of one output, labels that are 0 and so have no sign.

    >>> import thalweg as tw
    >>> float(tw.ntk.accuracy([[0.2, 0.8], [0.9, 0.1]], [1, 1])), float(tw.ntk.accuracy([[0.3], [2.0]], [-1, 1]))
    (0.5, 0.5)
    """
    found, known = np.asarray(outputs, np.float64), np.asarray(labels)
    if found.ndim < 2 or known.shape != found.shape[-2:-1]:
        msg = f"accuracy takes outputs (..., n, C) and labels (n,); got {found.shape} and {known.shape}."
        raise UsageError(msg)
    if found.shape[-1] == 1 and not known.all():
        msg = "Of one output accuracy takes targets by their sign, such as -1 and 1; some are 0. Write 2 * labels - 1."
        raise UsageError(msg)
    right = np.sign(found[..., 0]) == np.sign(known) if found.shape[-1] == 1 else found.argmax(-1) == known
    return np.asarray(right.mean(-1))


@in_words
def classify(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    test_labels: ArrayLike | Tensor,
    *,
    ridge: Ridge = 0.0,
    classes: int | None = None,
) -> Result:
    """Accuracy of kernel ridge regression on classes, by `one_hot` targets.

    Args:
        kernel, cross, ridge: as in `regression`, of kernels that all outputs share.
        labels, test_labels: classes from 0: (n,), (n_test,).
        classes: how many there are; None: as many as the largest label says.

    Returns:
        "accuracy" and "train accuracy" (member,), and what `regression` returns.

    Raises:
        UsageError: as `regression` and `one_hot`.

    Cost: that of `regression`.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.2]])
    >>> tw.ntk.classify(x[:2] @ x[:2].T, x[2:] @ x[:2].T, [0, 1], [0])["accuracy"].tolist()
    [1.0]
    """
    known, tested = _labels(labels), _labels(test_labels)
    count = int(max(known.max(), tested.max())) + 1 if classes is None else classes
    if count < 2:
        msg = f"classify needs labels of at least two classes; got {count}."
        raise UsageError(msg)
    found = regression(kernel, cross, one_hot(known, count), ridge=ridge).reading
    one_hot(tested, count)  # raises where a label is no class
    arrays = {
        "accuracy": accuracy(found["test"], tested),
        "train accuracy": accuracy(found["train"], known),
        **found.arrays,
    }
    dims = {**dict.fromkeys(("accuracy", "train accuracy"), ("member",)), **found.dims}
    reading = Reading(
        "classes by kernel regression",
        arrays,
        dims,
        sample_size=len(tested),
        cost=found.cost,
        provenance=found.provenance,
        notes=found.notes,
    )
    return Result(reading)


def _labels(labels: Any) -> Tensor:
    known = tensor_of(labels)
    if known.ndim != 1 or known.is_floating_point() or known.is_complex() or not len(known):
        msg = f"Labels are whole numbers (n,), one an example; got {tuple(known.shape)} of {known.dtype}."
        raise UsageError(msg)
    return known.cpu().to(torch.int64)
