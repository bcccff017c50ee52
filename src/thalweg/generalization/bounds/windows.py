"""Windows that slide over positions: how many lie over one position, and how much their averages can lengthen it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from thalweg.population.structure.operation import Operation


def windows_over(one: Operation, dimensions: int, kernel: Sequence[int] | None = None) -> int:
    """How many windows of a convolution or of pooling one position is in, at most.

        prod over dimensions of ceil(k gcd(s, d) / s),    k taps at distance d, one window every s positions

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.windows import windows_over
    >>> model = lambda: torch.nn.Sequential(torch.nn.Conv1d(1, 2, 5, stride=2), torch.nn.Flatten())
    >>> problem = tw.Problem(model, (torch.zeros(2, 1, 9), torch.zeros(2, 6)), "squared_error")
    >>> convolution = next(one for one in problem.structure.operations if one.kind == "conv1d")
    >>> windows_over(convolution, 1, [5])
    3

    Args:
        one: the operation.
        dimensions: along which windows slide.
        kernel: taps along each; None: as the operation says.
    """
    given = one.arguments["kernel_size"] if kernel is None else kernel
    taps = _each(given, dimensions)
    strides = _each(one.arguments.get("stride") or (given if kernel is None else 1), dimensions)
    apart = _each(one.arguments.get("dilation") or 1, dimensions)
    return math.prod(-(-k * math.gcd(s, d) // s) for k, s, d in zip(taps, strides, apart, strict=True))


def slope_of_average(one: Operation, before: Sequence[int]) -> float:
    """How much longer averages over windows can be than what they are of: at least 1.

    Pooling is a matrix along each dimension, whose spectral norms multiply. They are at most 1, but where averages are
    repeated, as of adaptive pooling to more positions than there are, or count fewer places at the edges.

    Args:
        one: the pooling.
        before: the shape of what it is of: (batch, channels, positions...).
    """
    sizes, after = list(before[2:]), list(one.shape[2:])
    if one.kind.startswith("adaptive"):
        matrices = [
            functional.adaptive_avg_pool1d(torch.eye(size, dtype=torch.float64)[:, None], made)
            for size, made in zip(sizes, after, strict=True)
        ]
    else:
        dimensions = len(sizes)
        taps = _each(one.arguments["kernel_size"], dimensions)
        strides = _each(one.arguments.get("stride") or one.arguments["kernel_size"], dimensions)
        pads = _each(one.arguments.get("padding") or 0, dimensions)
        edges = {name: bool(one.arguments.get(name, whole)) for name, whole in _EDGES.items()}
        matrices = [
            functional.avg_pool1d(torch.eye(size, dtype=torch.float64)[:, None], k, s, p, **edges)
            for size, k, s, p in zip(sizes, taps, strides, pads, strict=True)
        ]
    norm = math.prod(float(torch.linalg.matrix_norm(matrix[:, 0], ord=2)) for matrix in matrices)
    return norm if norm > 1 + 1e-12 else 1.0


_EDGES = {"ceil_mode": False, "count_include_pad": True}


def _each(size: Any, dimensions: int) -> list[int]:
    """One number for each dimension."""
    found = [int(size)] if isinstance(size, int) else [int(one) for one in size]
    return found * dimensions if len(found) == 1 else found
