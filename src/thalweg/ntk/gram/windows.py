"""What a convolution sees at every position."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def windows(images: Tensor, size: Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Tensor:
    """The windows of images (batch, channels, *space): (batch, positions, channels * cells), in the order of weights.

    >>> import torch
    >>> from thalweg.ntk.gram.windows import windows
    >>> windows(torch.arange(4.0).view(1, 1, 4), [3])
    tensor([[[0., 1., 2.],
             [1., 2., 3.]]])

    Args:
        images: of one to three dimensions of space.
        size, stride, dilation: as torch's convolutions take them: of each dimension, or a single number.
        padding: zeros on both sides, or "same" or "valid".
    """
    dims = len(size)
    stride, dilation = _each(stride, dims), _each(dilation, dims)
    if padding == "same":
        totals = [step * (cells - 1) for step, cells in zip(dilation, size, strict=True)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        sides = [(one, one) for one in _each(0 if padding == "valid" else padding, dims)]
    if any(one for pair in sides for one in pair):
        images = F.pad(images, [one for pair in reversed(sides) for one in pair])
    seen = images
    for dim, (cells, step, apart) in enumerate(zip(size, stride, dilation, strict=True)):
        seen = seen.unfold(2 + dim, apart * (cells - 1) + 1, step)[..., ::apart]
    positions, cells = range(2, 2 + dims), range(2 + dims, 2 + 2 * dims)
    return seen.permute(0, *positions, 1, *cells).reshape(len(images), -1, images.shape[1] * _product(size))


def _each(value: Any, dims: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * dims if len(values) == 1 else values


def _product(numbers: Sequence[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
