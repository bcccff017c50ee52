"""Whether a sliced network computes what the masked one does, and why it may not."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.population.binding import call
from thalweg.population.structure import Operation, Structure
from thalweg.population.structure.elementwise import places
from thalweg.randomness import global_stream

_OVER_ALL = ("mean", "nanmean", "std", "var", "softmax", "log_softmax", "logsumexp", "linalg_vector_norm", "norm")


def outputs(module: nn.Module, inputs: Any) -> list[Tensor]:
    """All tensors that a copy of a module gives in evaluation mode, computed in float64 on the CPU."""
    double = copy.deepcopy(module).cpu().double().eval()
    inputs = tree_map(in_double, inputs)
    with torch.no_grad(), global_stream(0, "slicing"):
        return [leaf for leaf in tree_leaves(call(double, inputs)) if isinstance(leaf, Tensor)]


def difference(first: list[Tensor], second: list[Tensor]) -> float:
    """The largest difference of two lists of outputs, in units of the largest of the first, or of 1 if that is less."""
    if [one.shape for one in first] != [one.shape for one in second]:
        return float("inf")
    apart = [
        float((a - b).abs().max() / a.abs().max().clamp_min(1)) for a, b in zip(first, second, strict=True) if len(a)
    ]
    return max(apart, default=0.0) if all(one == one for one in apart) else float("inf")


def sees_all(structure: Structure, group: str) -> Operation | None:
    """The first operation that reads how many units there are, so that zero units are not no units; or None.

    Means, norms over units, softmax over them, and attention, which divides by the root of how many it sums over.
    """
    for operation in structure.operations:
        value = next(iter(operation.inputs), None)
        dims = structure.dims.get(value, ()) if value is not None else ()
        along = {place for place, names in enumerate(dims) if group in names}
        if along and not along.isdisjoint(_over(operation, len(dims))):
            return operation
    return None


def why(structure: Structure, groups: Iterable[str]) -> str:
    """What in the model may be the cause that slicing changes it, as a sentence."""
    for group in groups:
        operation = sees_all(structure, group)
        if operation is not None:
            return f"{operation} depends on how many units of {group!r} there are, zero or not."
    return (
        "The model's code may fix sizes (a number of heads, a width) that are no attributes of its modules, or read "
        "units in a way that a mask does not reach."
    )


def _over(operation: Operation, count: int) -> Iterable[int]:
    """The dimensions of its first argument whose length it reads."""
    if operation.kind in ("layer_norm", "rms_norm"):
        return range(count - len(operation.arguments["normalized_shape"]), count)
    if operation.kind in ("group_norm", "scaled_dot_product_attention"):
        return (1,) if operation.kind == "group_norm" else (count - 1,)
    return places(operation, count) if operation.kind in _OVER_ALL else ()


def in_double(leaf: Any) -> Any:
    """A leaf of a batch on the CPU, real numbers in float64."""
    if isinstance(leaf, Tensor):
        return leaf.cpu().double() if leaf.is_floating_point() else leaf.cpu()
    return leaf
