"""The coarsest floating-point numbers that a model computes in, which may be coarser than its parameters."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


class Precision(TorchFunctionMode):
    """Notes in `coarsest` the dtype with the fewest digits that results of floating-point numbers have.

    A normalization in float32 within a model of float64 rounds to float32, and so does what follows from it.

    >>> import torch
    >>> from thalweg.population.precision import Precision
    >>> with Precision(torch.float64) as precision:
    ...     found = torch.ones(2, dtype=torch.float64).float().double()
    >>> found.dtype, precision.coarsest
    (torch.float64, torch.float32)

    Args:
        dtype: that of the parameters.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.coarsest = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor) and self._is_coarser(leaf) and any(map(_is_floating, tree_leaves(args))):
                self.coarsest = leaf.dtype
        return found

    def _is_coarser(self, leaf: Tensor) -> bool:
        return _is_floating(leaf) and coarser(self.coarsest, leaf.dtype) != self.coarsest


def coarser(one: torch.dtype, other: torch.dtype) -> torch.dtype:
    """That of two dtypes which has fewer digits; the first of equals.

    >>> import torch
    >>> from thalweg.population.precision import coarser
    >>> coarser(torch.float32, torch.bfloat16)
    torch.bfloat16
    """
    return other if torch.finfo(other).eps > torch.finfo(one).eps else one


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
