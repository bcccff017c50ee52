"""Features at positions: their Gram matrices are kernels, and what a linear layer does to them is known."""

import torch
from torch import Tensor


def random_values(count: int, sizes: tuple[int, ...], seed: int) -> Tensor:
    """(count, *S, 7) Gaussian features: their Gram matrices are kernels."""
    return torch.randn(count, *sizes, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram(first: Tensor, second: Tensor) -> Tensor:
    """(n1, n2, *S, *S) covariances of features."""
    axes = first.dim() - 2
    flat = torch.einsum("apf,bqf->abpq", first.flatten(1, -2), second.flatten(1, -2)) / first.shape[-1]
    return flat.reshape(len(first), len(second), *first.shape[1 : 1 + axes], *second.shape[1 : 1 + axes])


def second_moments(values: Tensor) -> Tensor:
    return values.square().mean(-1)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """E (u - v)^2 / 2 for every pair of positions, by its definition."""
    axes = first.dim() - 2
    apart = first.reshape(len(first), 1, *first.shape[1:-1], *(1,) * axes, -1) - second.reshape(
        1, len(second), *(1,) * axes, *second.shape[1:-1], -1
    )
    return apart.square().mean(-1) / 2
