"""Moments of Gaussian pairs under functions that are linear on either side of 0, by the angle between the inputs."""

import math

import torch
from torch import Tensor


class Rectifier:
    """low min(u, 0) + high max(u, 0), by the angle between the inputs."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def second_moment(self, q: Tensor) -> Tensor:
        return (self.low**2 + self.high**2) / 2 * q

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        covariance = (q + other) / 2 - distance
        angle = torch.arccos((covariance / (q * other).sqrt()).clamp(-1, 1))
        gap = (self.low - self.high) ** 2 / (2 * math.pi)
        slope = (self.low**2 + self.high**2) / 2 - gap * angle
        product = gap * (q * other - covariance**2).clamp(min=0).sqrt() + slope * covariance
        return (self.second_moment(q) + self.second_moment(other)) / 2 - product, slope


class Linear:
    """The identity."""

    def second_moment(self, q: Tensor) -> Tensor:
        return q

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        return distance, torch.ones_like(torch.broadcast_tensors(q, other, distance)[2])
