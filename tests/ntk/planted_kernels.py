"""Kernels and populations of which everything is known."""

import math

import torch
from torch import Tensor

from thalweg.randomness import generator


def sphere(count: int, dimensions: int, seed: int, purpose: str = "sphere") -> Tensor:
    """Points uniform on the sphere: (count, dimensions)."""
    x = torch.randn(count, dimensions, generator=generator(seed, purpose), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def arora_kernel(x: Tensor, other: Tensor | None = None) -> Tensor:
    """That of the hidden layer of a two-layer ReLU net on inputs of length 1: rho (pi - arccos rho) / 2 pi."""
    rho = (x @ (x if other is None else other).T).clamp(-1, 1)
    return rho * (math.pi - rho.arccos()) / (2 * math.pi)


def smooth_kernel(x: Tensor, other: Tensor | None = None) -> Tensor:
    """exp(rho - 1), which is of full rank."""
    return (x @ (x if other is None else other).T - 1).exp()
