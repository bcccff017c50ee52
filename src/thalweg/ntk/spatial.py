"""Convolution on kernels between positions: means over the offsets of a filter, and what flattening makes of them.

A block holds one number a pair of inputs and a pair of positions. *Full* blocks have shape (n1, n2, *S, *S), the
position in the first input first; *diagonal* ones (n1, n2, *S) hold equal positions only. An *own* block, of every
input with itself, has one dimension of inputs: (n, *S, *S). Second moments q have shape (n, *S).

A block is either in the plain form, E u v, or a distance, D = (q + q') / 2 - E u v = E (u - v)^2 / 2, which keeps
its digits where two inputs nearly coincide. Any layout in memory is kept; blocks whose inputs are innermost in
memory (`pairs_innermost`) are the fastest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

import torch
from torch import Tensor

from thalweg.errors import UsageError

__all__ = ["Window", "beside", "diagonal", "flattened", "inputs_of", "pairs_innermost", "windowed"]


@dataclass(frozen=True)
class Window:
    """The cells that one output position of a convolution or a pool reads, one entry a spatial axis.

    Output position p reads the cells `stride * p - before + dilation * j` for j = 0 .. size - 1. Cells outside are
    zero, or with `circular` those of the other end.

    >>> import thalweg as tw
    >>> window = tw.ntk.spatial.Window.of((3, 3), padding=1, stride=2)
    >>> window.outputs((8, 8)), window.cells
    ((4, 4), 9)
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    circular: bool = False

    @classmethod
    def of(
        cls,
        size: Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | Literal["same", "valid"] = 0,
        dilation: int | Sequence[int] = 1,
        circular: bool = False,
    ) -> "Window":
        """As torch's convolutions name it; "same" puts the odd cell of an even filter after the image.

        >>> from thalweg.ntk.spatial import Window
        >>> Window.of((4,), padding="same").before, Window.of((4,), padding="same").after
        ((1,), (2,))
        """
        axes = len(size)
        steps = _each(stride, axes, "stride")
        spacing = _each(dilation, axes, "dilation")
        if padding == "same":
            total = tuple(d * (k - 1) for d, k in zip(spacing, size, strict=True))
            before = tuple(cells // 2 for cells in total)
            after = tuple(cells - low for cells, low in zip(total, before, strict=True))
        else:
            before = after = _each(0 if padding == "valid" else padding, axes, "padding")
        return cls(tuple(size), steps, before, after, spacing, circular)

    @property
    def axes(self) -> int:
        """Spatial axes."""
        return len(self.size)

    @property
    def cells(self) -> int:
        """Offsets, over which `windowed` takes the mean."""
        return prod(self.size)

    @property
    def padded(self) -> bool:
        """Whether cells outside are read, as zeros."""
        return not self.circular and any(self.before + self.after)

    def outputs(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Output positions along every axis."""
        return tuple(self.outputs_along(axis, length) for axis, length in enumerate(sizes))

    def outputs_along(self, axis: int, length: int) -> int:
        """Output positions along one axis of `length` cells."""
        reach = self.dilation[axis] * (self.size[axis] - 1) + 1
        free = length + self.before[axis] + self.after[axis] - reach
        if free < 0:
            msg = (
                f"a window that reaches over {reach} cells does not fit axis {axis}: {length} cells, "
                f"{self.before[axis]} before and {self.after[axis]} after. Pad more, or use a smaller window."
            )
            raise UsageError(msg)
        return free // self.stride[axis] + 1

    def pieces(self, axis: int, offset: int, length: int, outputs: int) -> Iterator[tuple[int, int, int]]:
        """Where an offset finds cells: outputs `low` to `high`, and the cell that `low` reads."""
        stride = self.stride[axis]
        first = offset * self.dilation[axis] - self.before[axis]
        low = 0
        if not self.circular:
            low = max(0, -(first // stride))
            high = min(outputs, (length - 1 - first) // stride + 1)
            if low < high:
                yield low, high, first + low * stride
            return
        while low < outputs:
            cell = (first + low * stride) % length
            high = min(outputs, low + (length - 1 - cell) // stride + 1)
            yield low, high, cell
            low = high


def windowed(block: Tensor, window: Window, full: bool, q: Tensor | None = None, other: Tensor | None = None) -> Tensor:
    """The mean over the offsets of a filter that is shared by all positions.

        out[p, p'] = (1 / cells) sum over offsets d of block[s p + d, s p' + d]

    The divisor is `cells` at the border too. Without `q`, cells outside are zero: the rule of covariances, tangent
    kernels, second moments (n, *S) and means, and of distances on the diagonal. With `q` and `other` the full block
    is a distance: where a cell lies outside one image only, its distance to the other is half the other's q.

    Args:
        block: (n1, n2, *S, *S) if full, (n1, n2, *S) if not; with one dimension of inputs, an own block or moments.
        window: the filter; one entry an axis of S.
        full: whether the block has both positions.
        q: second moments of the first inputs, (n1, *S), before the convolution.
        other: of the second inputs, (n2, *S); of an own block, the same as `q`.

    Raises:
        UsageError: the window has another number of axes than the block, or does not fit.

    Cost: as many additions as the filter is long, an axis and an entry; no copy is padded. A filter of one cell at
    stride 1 without padding gives the block itself. Full blocks are fastest in the layout of `pairs_innermost` and in
    tiles of a few megabytes, which stay in the cache.

    Paper: Arora et al. (2019), "On exact computation with an infinitely wide neural net", arXiv:1904.11955.

    >>> import torch
    >>> from thalweg.ntk.spatial import Window, windowed
    >>> q = torch.ones(1, 4)
    >>> windowed(q, Window.of((3,), padding=1), full=False)
    tensor([[0.6667, 1.0000, 1.0000, 0.6667]])
    """
    axes = window.axes
    inputs = inputs_of(block, axes, full)
    rows = columns = None
    if full and q is not None and other is not None and window.padded:
        rows, columns = beside(q, other, inputs=inputs, axes=axes, full=True)
    scale = 1 / window.cells
    for axis in range(axes):
        dims = (inputs + axis, inputs + axes + axis) if full else (inputs + axis,)
        result = _slid(block, window, axis, dims, scale)
        if rows is not None and columns is not None:
            _add_lone_cells(result, window, axis, dims, scale, rows, columns, block.shape[dims[0]])
            rows = _slid(rows, window, axis, dims[:1], scale)
            columns = _slid(columns, window, axis, dims[1:], scale)
        block, scale = result, 1.0
    return block


def diagonal(block: Tensor, axes: int) -> Tensor:
    """The entries of a full block at equal positions: a view of shape (n1, n2, *S), or (n, *S) of an own block.

    >>> import torch
    >>> from thalweg.ntk.spatial import diagonal
    >>> diagonal(torch.arange(9.0).reshape(1, 1, 3, 3), axes=1)
    tensor([[[0., 4., 8.]]])
    """
    inputs = inputs_of(block, axes, full=True)
    for axis in range(axes):
        block = block.diagonal(dim1=inputs, dim2=inputs + axes - axis)
    return block


def flattened(block: Tensor, axes: int, full: bool) -> Tensor:
    """What a dense layer on the flattened positions sees: the mean over equal positions, in either form.

    Takes also second moments and means (n, *S), with `full=False`.

    >>> import torch
    >>> from thalweg.ntk.spatial import flattened
    >>> flattened(torch.arange(9.0).reshape(1, 1, 3, 3), axes=1, full=True)
    tensor([[4.]])
    """
    if full:
        block = diagonal(block, axes)
    return block.mean(tuple(range(block.dim() - axes, block.dim())))


def pairs_innermost(block: Tensor, inputs: int = 2) -> Tensor:
    """The same block, with the dimensions of inputs innermost in memory, where every step of a window is a long run.

    >>> import torch
    >>> from thalweg.ntk.spatial import pairs_innermost
    >>> pairs_innermost(torch.zeros(2, 3, 4, 4)).stride()
    (3, 1, 24, 6)
    """
    last = tuple(range(-inputs, 0))
    first = tuple(range(inputs))
    return block.movedim(first, last).contiguous().movedim(last, first)


def beside(first: Tensor, second: Tensor, *, inputs: int, axes: int, full: bool) -> tuple[Tensor, Tensor]:
    """Moments (n1, *S) and (n2, *S) of the two inputs, shaped to broadcast against their block.

    >>> import torch
    >>> from thalweg.ntk.spatial import beside
    >>> [one.shape for one in beside(torch.zeros(2, 4), torch.zeros(3, 4), inputs=2, axes=1, full=True)]
    [torch.Size([2, 1, 4, 1]), torch.Size([1, 3, 1, 4])]
    """
    if full:
        ones = (1,) * axes
        first = first.reshape(*first.shape, *ones)
        second = second.reshape(second.shape[0], *ones, *second.shape[1:])
    return (first, second) if inputs == 1 else (first[:, None], second[None])


def inputs_of(block: Tensor, axes: int, full: bool) -> int:
    """How many dimensions of inputs a block has: 2, or 1 if it is of inputs with themselves.

    >>> import torch
    >>> from thalweg.ntk.spatial import inputs_of
    >>> inputs_of(torch.zeros(2, 3, 4, 4), axes=1, full=True)
    2
    """
    inputs = block.dim() - axes * (1 + full)
    if inputs not in (1, 2):
        kind = "full" if full else "diagonal"
        msg = (
            f"a {kind} block over {axes} spatial axes has {axes * (1 + full)} dimensions after one or two of inputs; "
            f"this one has shape {tuple(block.shape)}."
        )
        raise UsageError(msg)
    return inputs


def _slid(block: Tensor, window: Window, axis: int, dims: tuple[int, ...], scale: float) -> Tensor:
    """`scale` times the sum over the offsets of one axis, taken along all `dims` at once."""
    length = block.shape[dims[0]]
    outputs = window.outputs_along(axis, length)
    stride = window.stride[axis]
    if window.size[axis] == stride == 1 and outputs == length:
        return block if scale == 1 else block * scale
    steps = []
    for offset in range(window.size[axis]):
        pieces = list(window.pieces(axis, offset, length, outputs))
        for chosen in product(pieces, repeat=len(dims)):
            steps.append(chosen)
    whole = next((chosen for chosen in steps if all(high - low == outputs for low, high, _ in chosen)), None)
    shape = list(block.shape)
    for dim in dims:
        shape[dim] = outputs
    result = _laid_out_as(block, shape)
    if whole is None:
        result.zero_()
    else:
        steps.remove(whole)
        torch.mul(_cells(block, dims, whole, stride), scale, out=result)
    for chosen in steps:
        target = result
        for dim, (low, high, _) in zip(dims, chosen, strict=True):
            target = target.narrow(dim, low, high - low)
        target.add_(_cells(block, dims, chosen, stride), alpha=scale)
    return result


def _cells(block: Tensor, dims: tuple[int, ...], pieces: Sequence[tuple[int, int, int]], stride: int) -> Tensor:
    """The view of the cells that an offset reads."""
    for dim, (low, high, cell) in zip(dims, pieces, strict=True):
        block = _strided(block, dim, cell, high - low, stride)
    return block


def _strided(block: Tensor, dim: int, first: int, count: int, stride: int) -> Tensor:
    index = [slice(None)] * block.dim()
    index[dim] = slice(first, first + (count - 1) * stride + 1, stride)
    return block[tuple(index)]


def _add_lone_cells(
    result: Tensor,
    window: Window,
    axis: int,
    dims: tuple[int, ...],
    scale: float,
    rows: Tensor,
    columns: Tensor,
    length: int,
) -> None:
    """Adds half of q where an offset finds a cell of one image and none of the other."""
    outputs = result.shape[dims[0]]
    stride = window.stride[axis]
    for offset in range(window.size[axis]):
        for low, high, cell in window.pieces(axis, offset, length, outputs):
            for moments, own, opposite in ((rows, dims[0], dims[1]), (columns, dims[1], dims[0])):
                half = _strided(moments, own, cell, high - low, stride)
                inside = result.narrow(own, low, high - low)
                for start, stop in ((0, low), (high, outputs)):
                    if start < stop:
                        inside.narrow(opposite, start, stop - start).add_(half, alpha=scale / 2)


def _laid_out_as(block: Tensor, shape: Sequence[int]) -> Tensor:
    """An empty tensor of that shape whose dimensions lie in memory in the order of the block's."""
    order = sorted(range(block.dim()), key=lambda dim: -block.stride(dim))
    laid = torch.empty([shape[dim] for dim in order], dtype=block.dtype, device=block.device)
    return laid.permute([order.index(dim) for dim in range(block.dim())])


def _each(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    entries = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(entries) != axes:
        msg = f"{name} has {len(entries)} entries for {axes} spatial axes; give one number, or one an axis."
        raise UsageError(msg)
    return entries
