"""Sine, cosine and the exponential."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sine:
    """phi(u) = sin(u): E phi(u) phi(v) = exp(-(q + q') / 2) sinh K = (exp(-D) - exp(D - q - q')) / 2."""

    name: str = "sin"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(q)

    def second_moment(self, q: Tensor) -> Tensor:
        """(1 - exp(-2q)) / 2."""
        return -torch.expm1(-2 * q) / 2

    def derivative(self, q: Tensor) -> Tensor:
        """(1 + exp(-2q)) / 2."""
        return (1 + torch.exp(-2 * q)) / 2

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes' mean product is that of cosines."""
        near, far, gap = _waves(q, other, distance)
        both = torch.exp(-(q + other).to(distance.dtype))
        return (-torch.expm1(-distance) + both * torch.expm1(distance)) / 2 - gap**2 / 4, (near + far) / 2


@dataclass(frozen=True)
class Cosine:
    """phi(u) = cos(u): E phi(u) phi(v) = exp(-(q + q') / 2) cosh K = (exp(-D) + exp(D - q - q')) / 2."""

    name: str = "cos"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """exp(-q / 2)."""
        return torch.exp(-q / 2)

    def second_moment(self, q: Tensor) -> Tensor:
        """(1 + exp(-2q)) / 2."""
        return (1 + torch.exp(-2 * q)) / 2

    def derivative(self, q: Tensor) -> Tensor:
        """(1 - exp(-2q)) / 2."""
        return -torch.expm1(-2 * q) / 2

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes' mean product is that of sines."""
        near, far, gap = _waves(q, other, distance)
        both = torch.exp(-(q + other).to(distance.dtype))
        return (-torch.expm1(-distance) - both * torch.expm1(distance)) / 2 + gap**2 / 4, (near - far) / 2


def _waves(q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """exp(-D), exp(D - q - q') and exp(-q) - exp(-q')."""
    gap, total = (q - other).to(distance.dtype), (q + other).to(distance.dtype)
    return torch.exp(-distance), torch.exp(distance - total), torch.expm1(-gap) * torch.exp(-other.to(distance.dtype))


@dataclass(frozen=True)
class Exponential:
    """phi(u) = exp(u), which is its own derivative: E phi(u) phi(v) = exp(q + q' - D)."""

    name: str = "exp"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """exp(q / 2)."""
        return torch.exp(q / 2)

    def second_moment(self, q: Tensor) -> Tensor:
        """exp(2q)."""
        return torch.exp(2 * q)

    def derivative(self, q: Tensor) -> Tensor:
        """exp(2q)."""
        return torch.exp(2 * q)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """(exp(q) - exp(q'))^2 / 2 + exp(q + q') (1 - exp(-D)), and exp(q + q' - D)."""
        gap, total = (q - other).to(distance.dtype), (q + other).to(distance.dtype)
        lengths = torch.exp(2 * other.to(distance.dtype)) * torch.expm1(gap) ** 2 / 2
        return lengths - torch.exp(total) * torch.expm1(-distance), torch.exp(total - distance)
