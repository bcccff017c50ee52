"""Numbers moved at random, for checks that must not miss what is zero at the first ones, and for rounding."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.randomness import generator


def near(values: Sequence[Tensor], draw: torch.Generator) -> list[Tensor]:
    """Tensors with noise that hides no term, as weights of zero would, and keeps activations."""
    sizes = [0.5 * (len(v) / v.numel()) ** 0.5 if v.ndim > 1 else 0.1 for v in values]
    return [v.detach() + size * _normal(v, draw).to(v) for v, size in zip(values, sizes, strict=True)]


def moved_tree(tree: Any, size: float, draw: int) -> Any:
    """A tensor, or tuples and dicts of them, with every number moved by about such a share of itself, by draw."""
    stream = generator(0, "moved", draw)
    return tree_map(lambda leaf: _moved(leaf, size, stream), tree)


def _moved(values: Any, size: float, stream: torch.Generator) -> Any:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        return values
    return (values * (1 + size * _normal(values, stream).to(values.device))).to(values.dtype)


def _normal(like: Tensor, stream: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=stream, dtype=torch.float64)
