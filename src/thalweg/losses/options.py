"""Options that named losses share: targets that do not count, and what each class weighs."""

import functools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from thalweg.errors import UsageError, check_type


def check_ignore_index(name: str, ignore_index: object) -> None:
    """Raise UsageError unless it is a whole number or None."""
    check_type(f"{name} ignore_index", ignore_index, (int, type(None)), "a whole number such as -100, or None")


def class_table(name: str, weights: Sequence[float] | Tensor | None) -> tuple[float, ...] | None:
    """Weights of the classes as plain numbers.

    Raises:
        UsageError: weights that are no numbers, negative, not finite, or all zero.
    """
    if weights is None:
        return None
    write = "one number a class, such as [1.0, 5.0]"
    check_type(f"{name} class_weights", weights, Iterable, write)
    given = weights.tolist() if hasattr(weights, "tolist") else list(weights)
    for weight in given if isinstance(given, list) else [given]:
        check_type(f"{name} class_weights", weight, (int, float), write)
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
