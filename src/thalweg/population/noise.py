"""Parameters moved at random, for checks that must not miss what is zero at the first ones."""

from collections.abc import Sequence

import torch
from torch import Tensor


def near(values: Sequence[Tensor], draw: torch.Generator) -> list[Tensor]:
    """Tensors with noise that hides no term, as weights of zero would, and keeps activations."""
    sizes = [0.5 * (len(v) / v.numel()) ** 0.5 if v.ndim > 1 else 0.1 for v in values]
    noise = [torch.randn(v.shape, generator=draw, dtype=torch.float64).to(v) for v in values]
    return [v.detach() + size * n for v, size, n in zip(values, sizes, noise, strict=True)]
