"""The error function."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.dual.arc_sine import ArcSine, own_arc_sine
from thalweg.ntk.dual.distances import Separation


@dataclass(frozen=True)
class Erf:
    """phi(u) = erf(u): E phi(u) phi(v) = (2 / pi) asin(2K / sqrt((1 + 2q)(1 + 2q'))).

    Williams (1997), Computing with infinite networks.
    """

    name: str = "erf"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """Zero: erf is odd."""
        return torch.zeros_like(q)

    def second_moment(self, q: Tensor) -> Tensor:
        """(2 / pi) asin(2q / (1 + 2q))."""
        return 2 / math.pi * own_arc_sine(2 * q)

    def derivative(self, q: Tensor) -> Tensor:
        """(4 / pi) / sqrt(1 + 4q)."""
        return 4 / math.pi / torch.sqrt(1 + 4 * q)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """With one arc tangent; E phi' phi' = (4 / pi) / sqrt((1 + 2q)(1 + 2q') - 4K^2)."""
        arc_sine = ArcSine.of(Separation.of(2 * q, 2 * other, 2 * distance))
        return 2 / math.pi * arc_sine.fall, 4 / math.pi / arc_sine.wide
