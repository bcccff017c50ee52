"""Attention of infinitely many heads, against nested loops, integrals, derivatives and random draws."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from features_at_positions import gram, random_values
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.attention import Attended, Tokens, attended, elementwise, identity
from thalweg.ntk.attention_softmax import softmax


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


RELU, ABS = Rectifier(0, 1), Rectifier(-1, 1)


def tokens(seed: int, count: int = 4) -> Tokens:
    """Kernels of two and three inputs of `count` tokens each, and any tangent kernel."""
    x, y = random_values(2, (count,), seed), random_values(3, (count,), seed + 1)
    tangent = torch.randn(2, 3, count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    own, other = (torch.stack([gram(one[None], one[None])[0, 0] for one in values]) for values in (x, y))
    return Tokens(gram(x, y), tangent, own, other)


def own_tokens(given: Tokens) -> Tokens:
    return Tokens.own_block(given.own)


@pytest.fixture
def three() -> tuple[Tokens, Tokens, Tokens]:
    return tokens(0), tokens(10), tokens(20)


def gaussian_moments(q: float, other: float, covariance: float, function) -> float:
    """E f(u) f(v) by integration in polar coordinates: exact for functions that are linear on either side of 0."""
    rho = covariance / math.sqrt(q * other)
    # radial part of E over (z1, z2) of homogeneous degree 2 is 2; the angular part has kinks only where u or v is 0
    kinks = sorted({-math.pi / 2, math.pi / 2, math.pi / 2 + math.asin(rho) - math.pi / 2})
    angle_of_v = math.acos(max(-1.0, min(1.0, rho)))
    kinks = sorted(
        {math.remainder(k, 2 * math.pi) for k in (math.pi / 2, -math.pi / 2, angle_of_v + math.pi / 2, angle_of_v - math.pi / 2)}
    )
    nodes, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for start, stop in zip(kinks, [*kinks[1:], kinks[0] + 2 * math.pi], strict=True):
        angle = (start + stop) / 2 + (stop - start) / 2 * nodes
        u, v = np.cos(angle), np.cos(angle - angle_of_v)
        total += float(np.sum(weights * function(u) * function(v))) * (stop - start) / 2
    return 2 * total / (2 * math.pi) * math.sqrt(q * other)
