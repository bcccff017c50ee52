"""Tables of indices: which examples of a set are whose."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError


def index_table(name: str, given: Any, whose: str, count: int, examples: int) -> Int64[Tensor, "rows n"]:
    """A table of indices into so many examples, a row for each of `count` seeds or members, checked and copied.

    >>> from thalweg.evaluation.rows import index_table
    >>> index_table("train examples", [[3, 1], [1, 1]], "seed", 2, examples=5)
    tensor([[3, 1],
            [1, 1]])

    Args:
        name: of the argument, for errors.
        whose: what has a row, in the singular.

    Raises:
        UsageError: no whole numbers, another number of rows, or what is no index of an example.
    """
    what = f"{name} must be indices of examples, a row for each {whose}, as many in every row: ({count}, n)"
    try:
        found = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except ValueError:  # rows of several lengths
        found = np.asarray("")
    if found.dtype.kind not in "iu":
        got = f"type {found.dtype}" if found.dtype.kind in "fb" else repr(given)
        msg = f"{what}, whole numbers; got {got}."
        raise UsageError(msg)
    if found.ndim != 2 or len(found) != count or not found.size:
        msg = f"{what}; got shape {found.shape}."
        raise UsageError(msg)
    outside = found[(found < 0) | (found >= examples)]
    if len(outside):
        msg = f"{name} must be indices of the {examples:,} examples, 0 to {examples - 1:,}; got {outside[0]}."
        raise UsageError(msg)
    return torch.from_numpy(found.astype(np.int64))
