"""Gradients shortened to a largest norm."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.optim.inplace import norms


def clipping(gradient: Float[Tensor, "members parameters"], largest: object) -> Float[Tensor, "members 1"]:
    """min(1, largest / |g|) for each member, as a column."""
    limit = torch.as_tensor(largest, dtype=gradient.dtype, device=gradient.device).reshape(-1, 1)
    return (limit / norms(gradient)).clamp_max(1.0)  # where |g| = 0: infinite, so 1
