"""Activations without a bend: the identity and the square."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Identity:
    """phi(u) = u."""

    name: str = "identity"
    error: float = 0.0
    derivative_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(q)

    def second_moment(self, q: Tensor) -> Tensor:
        """q itself."""
        return q

    def derivative(self, q: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(q)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The distance, and one."""
        shape = np.broadcast_shapes(q.shape, other.shape, distance.shape)
        return distance.expand(shape).clone(), torch.ones(shape, dtype=distance.dtype, device=distance.device)


@dataclass(frozen=True)
class Square:
    """phi(u) = u^2: E phi(u) phi(v) = q q' + 2 K^2."""

    name: str = "square"
    error: float = 0.0
    derivative_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """q."""
        return q

    def second_moment(self, q: Tensor) -> Tensor:
        """3 q^2."""
        return 3 * q**2

    def derivative(self, q: Tensor) -> Tensor:
        """4 q."""
        return 4 * q

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """(q - q')^2 + 2 D (q + q' - D), and 4 K."""
        gap, total = (q - other).to(distance.dtype), (q + other).to(distance.dtype)
        return gap**2 + 2 * distance * (total - distance), 2 * total - 4 * distance
