"""Activations of two straight pieces that meet at zero: ReLU, leaky ReLU, absolute value."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.dual.arc import arc
from thalweg.ntk.dual.distances import length


@dataclass(frozen=True)
class Rectifier:
    """phi(u) = negative * min(u, 0) + positive * max(u, 0), in closed form.

    With t the angle between u and v, c = (negative^2 + positive^2) / 2 and k = (positive - negative)^2 / (2 pi):
    E phi'(u) phi'(v) = c - k t;  E (phi(u) - phi(v))^2 / 2 = c D - k sqrt(q q') (sin t - t cos t).

    A pre-activation that is always zero is at a right angle to all others.

    Cho, Saul (2009), Kernel methods for deep learning.
    """

    name: str
    negative: float
    positive: float
    error: float = 0.0
    slope_error: float = 0.0

    @property
    def own(self) -> float:
        """E phi'(u)^2."""
        return (self.negative**2 + self.positive**2) / 2

    @property
    def bend(self) -> float:
        """k: how much a unit of angle takes off."""
        return (self.positive - self.negative) ** 2 / (2 * math.pi)

    def mean(self, q: Tensor) -> Tensor:
        """(positive - negative) sqrt(q / 2 pi)."""
        return (self.positive - self.negative) / math.sqrt(2 * math.pi) * length(q)

    def second_moment(self, q: Tensor) -> Tensor:
        """C q."""
        return self.own * q

    def derivative(self, q: Tensor) -> Tensor:
        """C, whatever the length."""
        return torch.full_like(q, self.own)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """In about twenty passes, one of them an arc sine."""
        angle, lost = arc(q, other, distance)
        if lost.requires_grad:
            return self.own * distance - self.bend * lost, self.own - self.bend * angle
        return torch.mul(distance, self.own).sub_(lost, alpha=self.bend), torch.rsub(angle, self.own, alpha=self.bend)
