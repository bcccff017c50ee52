"""Distances of two Gaussians, split into what their lengths and what their angle account for."""

from dataclasses import dataclass

import torch
from torch import Tensor


def length(q: Tensor) -> Tensor:
    """sqrt(q), whose gradient at q = 0 is zero instead of infinite."""
    return q.clamp_min(torch.finfo(q.dtype).tiny).sqrt() * (q > 0)


def ratio(above: Tensor | float, below: Tensor) -> Tensor:
    """above / below, and zero where `below` is not positive; gradients are zero there too."""
    there = below > 0
    return torch.where(there, above / torch.where(there, below, 1.0), 0.0)


def bounded(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Clipped to where rounding has carried it from; the gradient is the unclipped value's."""
    with torch.no_grad():
        step = value.clamp_min(low).clamp_max(high) if isinstance(high, float) else value.clamp_min(low).minimum(high)
        step = step - value
    return value + step


@dataclass(frozen=True)
class Separation:
    """The distance D of u ~ N(0, q) and v ~ N(0, q') as D = (sqrt(q) - sqrt(q'))^2 / 2 + (sqrt(q q') - K).

    Pass q and q' in float64 to keep all digits of a float32 distance where lengths differ by little.
    """

    x: Tensor  # sqrt(q)
    y: Tensor  # sqrt(q')
    gap: Tensor  # q - q'
    stretch: Tensor  # sqrt(q) - sqrt(q')
    product: Tensor  # sqrt(q q'): the largest covariance
    excess: Tensor  # sqrt(q q') - K, from zero to twice the product

    @classmethod
    def of(cls, q: Tensor, other: Tensor, distance: Tensor) -> "Separation":
        """In the distance's dtype; differences of q and q' are taken in theirs."""
        dtype = distance.dtype
        gap = (q - other).to(dtype)
        q, other = q.to(dtype), other.to(dtype)
        x, y = length(q), length(other)
        stretch, product = gap * ratio(1.0, x + y), x * y
        return cls(x, y, gap, stretch, product, bounded(distance - stretch**2 / 2, 0.0, 2 * product))

    @property
    def covariance(self) -> Tensor:
        """K."""
        return self.product - self.excess

    @property
    def opened(self) -> Tensor:
        """The determinant q q' - K^2."""
        return self.excess * (2 * self.product - self.excess)
