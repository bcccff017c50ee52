"""Options that named losses share: targets that do not count, and what each class weighs."""

import functools
import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError, check_type


def ignored_value(name: str, ignore_index: int | None) -> int | None:
    """The target that does not count as a plain number, or None.

    Raises:
        UsageError: it is no whole number.
    """
    write = "a whole number such as -100, or None"
    check_type(f"{name} ignore_index", ignore_index, (Integral, type(None)), write)
    return None if ignore_index is None else int(ignore_index)


def class_table(name: str, weights: Sequence[float] | Tensor | None) -> tuple[float, ...] | None:
    """Weights of the classes as plain numbers.

    Raises:
        UsageError: anything but a sequence, an array or a tensor (others have no order of the classes), or weights that
            are no numbers, negative, not finite, or all zero.
    """
    if weights is None:
        return None
    write = "a list, one number a class in the order of the classes, such as [1.0, 5.0]"
    check_type(f"{name} class_weights", weights, (Sequence, np.ndarray, Tensor), write)
    given = weights.tolist() if isinstance(weights, np.ndarray | Tensor) else weights
    check_type(f"{name} class_weights", given, Sequence, write)  # an array without dimensions is a single number
    if not len(given):
        msg = f"{name} class_weights are empty; give one number a class, such as [1.0, 5.0], or None."
        raise UsageError(msg)
    for weight in given:
        check_type(f"{name} class_weights", weight, Real, write)
        if not 0 <= weight < math.inf:
            msg = f"{name} class_weights must be finite and not negative; got {weight:g}."
            raise UsageError(msg)
    table = tuple(map(float, given))
    if not any(table):
        msg = f"{name} class_weights are all zero, so no target would count; give a weight above 0."
        raise UsageError(msg)
    return table


def counted(targets: Tensor, ignore_index: int | None) -> Tensor | None:
    """Which targets are not ignored; None is all."""
    return None if ignore_index is None else targets != ignore_index


def target_weights(
    classes: Tensor,
    kept: Tensor | None,
    table: Sequence[float] | Tensor | None,
    like: Tensor,
) -> Tensor | None:
    """The weight of every target by its class, zero where it is not kept; None where all weigh the same.

    Args:
        classes: of the targets.
        kept: which of them count, or None.
        table: a weight for each class, or None.
        like: of the dtype wanted.
    """
    if table is None:
        return None if kept is None else kept.to(like.dtype)
    by_class = _tensor(tuple(table), like.dtype, like.device)
    return by_class[classes] if kept is None else by_class[classes.where(kept, 0)] * kept


@functools.lru_cache(maxsize=64)
def _tensor(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.tensor(numbers, dtype=dtype, device=device)


def named_options(kind: str, **options: object) -> str:
    """The name of a loss with its options, those that are None left out."""
    given = ", ".join(f"{key}={value}" for key, value in options.items() if value is not None)
    return f"{kind}({given})" if given else kind
