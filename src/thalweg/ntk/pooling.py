"""Pooling and every other linear map on positions, applied to kernels in the plain and in the distance form.

A map takes the values u at the positions to L u. In the plain form a block becomes L block L^T. As a distance,

    D_out[c, c'] = (L D L^T)[c, c'] - (s_c + s'_c') / 2 + (r_c - r_c') ((L q)_c - (L q')_c') / 2

with the spread s_c = (L D_xx L^T)[c, c] inside each input and the row sums r of L, whose term is 0 where all are
equal, as those of a mean are. The second moments become r_c (L q)_c - s_c. Blocks are full ones of `spatial`; a map
whose outputs pick one cell each, as a flip or a crop, takes diagonal ones too, by its `along`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.spatial import Window, beside, diagonal, inputs_of

__all__ = ["AxisMaps", "Mean", "PositionMap", "WindowMeans", "adaptive", "pooled", "pooled_mean", "pooled_q", "spreads"]


class PositionMap(Protocol):
    """A linear map L on positions that acts on each spatial axis for itself.

    >>> from thalweg.ntk.pooling import Mean, PositionMap
    >>> mean: PositionMap = Mean(2)
    """

    @property
    def axes(self) -> int:
        """Spatial axes."""
        ...

    def along(self, values: Tensor, first: int) -> Tensor:
        """L applied to the `axes` dimensions from `first` on."""
        ...

    def sums(self, sizes: Sequence[int]) -> Tensor | None:
        """The row sums of L, (*C), in float64; None where all are 1."""
        ...


@dataclass(frozen=True)
class Mean:
    """The mean over all positions, as global average pooling takes it; every axis keeps one position.

    >>> import torch
    >>> from thalweg.ntk.pooling import Mean
    >>> Mean(2).along(torch.arange(4.0).reshape(1, 2, 2), 1)
    tensor([[[1.5000]]])
    """

    axes: int

    def along(self, values: Tensor, first: int) -> Tensor:
        """The mean along the axes."""
        return values.mean(tuple(range(first, first + self.axes)), keepdim=True)

    def sums(self, sizes: Sequence[int]) -> Tensor | None:
        """None: every row sums to 1."""
        return None


@dataclass(frozen=True)
class WindowMeans:
    """Average pooling.

    Args:
        window: the cells of an output; its padding is torch's `padding`, its dilation 1.
        count_include_pad: whether the zeros outside count in the divisor.
        ceil_mode: whether a last window that is not whole gives an output; cells past the padding never count.

    >>> import torch
    >>> from thalweg.ntk.pooling import WindowMeans
    >>> from thalweg.ntk.spatial import Window
    >>> WindowMeans(Window.of((2,), stride=2)).along(torch.arange(4.0).reshape(1, 4), 1)
    tensor([[0.5000, 2.5000]])
    """

    window: Window
    count_include_pad: bool = True
    ceil_mode: bool = False

    @property
    def axes(self) -> int:
        """Spatial axes."""
        return self.window.axes

    def along(self, values: Tensor, first: int) -> Tensor:
        """The means along the axes from dimension `first` on."""
        for axis in range(self.axes):
            matrix = self.matrix(axis, values.shape[first + axis])
            values = _applied(matrix.to(values), values, first + axis)
        return values

    def sums(self, sizes: Sequence[int]) -> Tensor | None:
        """The share of the divisor that lies inside, for every output; None where it is all of it."""
        if not (self.count_include_pad and self.window.padded):
            return None
        return _outer([self.matrix(axis, length).sum(1) for axis, length in enumerate(sizes)])

    def matrix(self, axis: int, length: int) -> Tensor:
        """L along one axis, (outputs, cells), in float64."""
        size, stride, before = self.window.size[axis], self.window.stride[axis], self.window.before[axis]
        after = self.window.after[axis]
        outputs = self.window.outputs_along(axis, length)
        if self.ceil_mode:
            outputs = ceil((length + before + after - size) / stride) + 1
            outputs -= (outputs - 1) * stride >= length + before
        matrix = torch.zeros(outputs, length, dtype=torch.float64)
        for output in range(outputs):
            start = output * stride - before
            stop = min(start + size, length + after)
            inside = slice(max(start, 0), min(stop, length))
            counted = stop - start if self.count_include_pad else inside.stop - inside.start
            matrix[output, inside] = 1 / counted
        return matrix


@dataclass(frozen=True)
class AxisMaps:
    """Any linear map that is one matrix an axis: resizing, cropping, flipping, rolling.

    Args:
        matrices: (outputs, cells), one a spatial axis.

    >>> import torch
    >>> from thalweg.ntk.pooling import AxisMaps
    >>> AxisMaps((torch.tensor([[0.0, 1.0], [1.0, 0.0]]),)).along(torch.tensor([[1.0, 2.0]]), 1)
    tensor([[2., 1.]])
    """

    matrices: tuple[Tensor, ...]

    @property
    def axes(self) -> int:
        """Spatial axes."""
        return len(self.matrices)

    def along(self, values: Tensor, first: int) -> Tensor:
        """Each matrix along its axis, from dimension `first` on."""
        for axis, matrix in enumerate(self.matrices):
            values = _applied(matrix.to(values), values, first + axis)
        return values

    def sums(self, sizes: Sequence[int]) -> Tensor | None:
        """The row sums."""
        return _outer([matrix.double().sum(1) for matrix in self.matrices])


def adaptive(sizes: Sequence[int], outputs: Sequence[int]) -> AxisMaps:
    """Adaptive average pooling: output c is the mean of cells floor(c n / m) to ceil((c + 1) n / m) - 1.

    >>> from thalweg.ntk.pooling import adaptive
    >>> adaptive((4,), (2,)).matrices[0]
    tensor([[0.5000, 0.5000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    matrices = []
    for cells, count in zip(sizes, outputs, strict=True):
        matrix = torch.zeros(count, cells, dtype=torch.float64)
        for output in range(count):
            start, stop = output * cells // count, -((output + 1) * cells // -count)
            matrix[output, start:stop] = 1 / (stop - start)
        matrices.append(matrix)
    return AxisMaps(tuple(matrices))


def spreads(own: Tensor, by: PositionMap) -> Tensor:
    """Half the expected squared spread inside each output's cells, s_c = (L D_xx L^T)[c, c].

    Args:
        own: distances of every input to itself, (n, *S, *S).

    Returns:
        (n, *C).

    >>> import torch
    >>> from thalweg.ntk.pooling import Mean, spreads
    >>> spreads(1 - torch.eye(2).reshape(1, 2, 2), Mean(1))
    tensor([[0.5000]])
    """
    return diagonal(_both(own, by, 1), by.axes)


def pooled_q(q: Tensor, spread: Tensor, by: PositionMap) -> Tensor:
    """Second moments after the map, r_c (L q)_c - s_c.

    Args:
        q: (n, *S).
        spread: what `spreads` gives, (n, *C).

    >>> import torch
    >>> from thalweg.ntk.pooling import Mean, pooled_q, spreads
    >>> apart = 1 - torch.eye(2).reshape(1, 2, 2)  # two independent positions of variance 1
    >>> pooled_q(torch.ones(1, 2), spreads(apart, Mean(1)), Mean(1))
    tensor([[0.5000]])
    """
    sums = by.sums(q.shape[1:])
    mapped = by.along(q, 1)
    return mapped - spread if sums is None else sums.to(q) * mapped - spread


def pooled_mean(mean: Tensor, by: PositionMap) -> Tensor:
    """First moments after the map, L m: (n, *S) to (n, *C).

    >>> import torch
    >>> from thalweg.ntk.pooling import Mean, pooled_mean
    >>> pooled_mean(torch.tensor([[1.0, 3.0]]), Mean(1))
    tensor([[2.]])
    """
    return by.along(mean, 1)


def pooled(
    block: Tensor,
    by: PositionMap,
    q: Tensor | None = None,
    other: Tensor | None = None,
    spread: Tensor | None = None,
    other_spread: Tensor | None = None,
) -> Tensor:
    """A full block after a linear map on positions: L block L^T, or the distance where the moments are given.

    Args:
        block: (n1, n2, *S, *S), or an own block (n, *S, *S).
        by: the map.
        q: for a distance, second moments of the first inputs before the map, (n1, *S); `other`: of the second.
        spread: for a distance, `spreads` of the first inputs, (n1, *C); `other_spread`: of the second.

    Returns:
        (n1, n2, *C, *C), or (n, *C, *C). The plain form is that of covariances and tangent kernels.

    Raises:
        UsageError: some of the four moments are given and some are not, or the block is not a full one.

    >>> import torch
    >>> from thalweg.ntk.pooling import Mean, pooled
    >>> pooled(torch.eye(2).reshape(1, 1, 2, 2), Mean(1))
    tensor([[[[0.5000]]]])
    """
    axes = by.axes
    inputs = inputs_of(block, axes, full=True)
    mapped = _both(block, by, inputs)
    if q is None and other is None and spread is None and other_spread is None:
        return mapped
    if q is None or other is None or spread is None or other_spread is None:
        msg = "a distance needs q, other, spread and other_spread; the plain form none of them."
        raise UsageError(msg)

    def both(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return beside(first, second, inputs=inputs, axes=axes, full=True)

    ours, theirs = both(spread, other_spread)
    mapped -= (ours + theirs) / 2
    sums = by.sums(q.shape[1:])
    if sums is not None:
        share, other_share = both(sums.to(q)[None], sums.to(q)[None])
        first, second = both(by.along(q, 1), by.along(other, 1))
        mapped += (share - other_share) * (first - second) / 2
    return mapped


def _both(block: Tensor, by: PositionMap, inputs: int) -> Tensor:
    """L block L^T."""
    return by.along(by.along(block, inputs), inputs + by.axes)


def _applied(matrix: Tensor, values: Tensor, dim: int) -> Tensor:
    """A matrix along one dimension."""
    return torch.tensordot(matrix, values, dims=([1], [dim])).movedim(0, dim)


def _outer(sums: Sequence[Tensor]) -> Tensor | None:
    """Products of the row sums of every axis; None where all are 1."""
    product = sums[0]
    for one in sums[1:]:
        product = product[..., None] * one
    return None if bool(((product - 1).abs() < 1e-12).all()) else product
