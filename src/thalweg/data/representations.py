"""The same examples in other numbers: classes as vectors, inputs as coordinates along principal components."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.data.dataset import Data, ExampleSet
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded


@guarded
def one_hot(data: Data) -> Data:
    """Targets as vectors that are 1 at the class and 0 elsewhere, for a loss such as the squared error.

    >>> import thalweg as tw
    >>> tw.data.one_hot(tw.data.digits()).train.targets.shape
    torch.Size([1437, 10])

    Args:
        data: with integer classes, in memory; it stays as it is.

    Raises:
        UsageError: targets are not classes, or examples are not in memory.
    """

    def changed(examples: ExampleSet) -> Examples:
        inputs, targets = _tensors("one_hot", data, examples)
        if targets.is_floating_point() or targets.ndim != 1 or data.classes is None:
            msg = f"one_hot needs one integer class per example; targets of {data.name!r} are {targets.dtype} "
            msg += f"{tuple(targets.shape)}, classes={data.classes}."
            raise UsageError(msg)
        return Examples(inputs, functional.one_hot(targets.long(), data.classes).float())

    test = None if data.test is None else changed(data.test)
    return replace(data, train=changed(data.train), test=test, classes=None)


@guarded
def in_principal_components(data: Data, count: int) -> Data:
    """Inputs less the mean of the training inputs, along the first principal components of these, in float64.

    Components have length 1, and each the sign by which its entries sum to more than 0, which an SVD leaves open.

    >>> import thalweg as tw
    >>> tw.data.in_principal_components(tw.data.digits(), 6).test.inputs.shape
    torch.Size([360, 6])

    Args:
        data: with inputs (examples, features), in memory; it stays as it is.
        count: how many components, at most as many as there are features and training examples.

    Raises:
        UsageError: inputs that are no vectors, fewer of them than components, or examples that are not in memory.

    Cost: one SVD of the training inputs.
    """
    check_count("in_principal_components count", count)
    inputs, _ = _tensors("in_principal_components", data, data.train)
    if inputs.ndim != 2 or count > min(inputs.shape):
        msg = f"in_principal_components takes inputs (examples, features), at least {count} of both; got "
        msg += f"{tuple(inputs.shape)}."
        raise UsageError(msg)
    center = inputs.double().mean(0)
    components = torch.linalg.svd(inputs.double() - center, full_matrices=False)[2][:count]
    components = components * torch.where(components.sum(1, keepdim=True) < 0, -1.0, 1.0)

    def changed(examples: ExampleSet) -> Examples:
        rows, targets = _tensors("in_principal_components", data, examples)
        return Examples((rows.double() - center) @ components.T, targets)

    return replace(data, train=changed(data.train), test=None if data.test is None else changed(data.test))


def _tensors(name: str, data: Data, examples: ExampleSet) -> tuple[Tensor, Tensor]:
    """Inputs and targets, where each is one tensor in memory."""
    if isinstance(examples, Examples):
        inputs, targets = examples.inputs, examples.targets
        if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
            return inputs, targets
    msg = f"{name} needs inputs and targets that are one tensor each, in memory; those of {data.name!r} are not."
    raise UsageError(msg)
