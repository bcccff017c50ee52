"""GELU with the exact Gaussian distribution function; the form with tanh is another function."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.dual.arc_sine import ArcSine, own_arc_sine
from thalweg.ntk.dual.distances import Separation


@dataclass(frozen=True)
class GELU:
    """phi(u) = u Phi(u), in closed form.

    With P = (1 + q)(1 + q'), w^2 = P - K^2 and A = asin(K / sqrt(P)):
    E phi(u) phi(v) = K / 4 + (K A + G) / (2 pi), G = (K^2 + q q' w^2) / (P w), and
    E phi'(u) phi'(v) = 1 / 4 + (A + (K / w)(1 / w^2 + (1 - q q') / P + 1)) / (2 pi).

    Tsuchida, Pearce, van der Heide, Roosta, Gallagher (2021), Avoiding kernel fixed points, arXiv:2002.08517.
    """

    name: str = "gelu"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """q / sqrt(2 pi (1 + q))."""
        return q / torch.sqrt(2 * math.pi * (1 + q))

    def second_moment(self, q: Tensor) -> Tensor:
        """q / 4 + (q A + 2 q^2 / ((1 + q) r)) / (2 pi), with r = sqrt(1 + 2q)."""
        return q / 4 + (q * own_arc_sine(q) + 2 * q**2 / ((1 + q) * torch.sqrt(1 + 2 * q))) / (2 * math.pi)

    def derivative(self, q: Tensor) -> Tensor:
        """1 / 4 + (A + (q / r)(1 / r^2 + 2 / (1 + q))) / (2 pi)."""
        square = 1 + 2 * q
        rest = q / torch.sqrt(square) * (1 / square + 2 / (1 + q))
        return 0.25 + (own_arc_sine(q) + rest) / (2 * math.pi)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """What lengths and what correlation account for, each a sum that loses no digits at coincident inputs."""
        apart = Separation.of(q, other, distance)
        arc_sine = ArcSine.of(apart)
        product, wide = apart.product, arc_sine.wide
        longest = torch.atan2(product, arc_sine.narrow)  # A at K = sqrt(q q')
        lost = torch.atan2(*arc_sine.by_correlation)
        whole = arc_sine.square + product**2  # P
        fall = _by_length(apart, arc_sine) + _by_correlation(apart, arc_sine, longest, lost, whole)
        steep = apart.covariance / wide * (1 / wide**2 + (1 - product**2) / whole + 1)
        return distance / 4 + fall / (2 * math.pi), 0.25 + (longest - lost + steep) / (2 * math.pi)


def _by_correlation(apart: Separation, arc_sine: ArcSine, longest: Tensor, lost: Tensor, whole: Tensor) -> Tensor:
    """How K A + G falls from K = sqrt(q q') to K."""
    wide, narrow, square = arc_sine.wide, arc_sine.narrow, apart.product**2
    sum_ = wide + narrow
    of_ratio = apart.opened / (whole * wide) * (1 + square * (1 / narrow - wide) / sum_)
    return apart.excess * longest + apart.covariance * lost + of_ratio


def _by_length(apart: Separation, arc_sine: ArcSine) -> Tensor:
    """How K A + G falls from the mean of the two inputs' own values to K = sqrt(q q')."""
    x, y, r, s, stretch = apart.x, apart.y, arc_sine.r, arc_sine.s, arc_sine.stretch
    between = own_arc_sine(x**2) + own_arc_sine(y**2)
    turned = 2 * torch.atan(stretch / (1 + r * s))  # A - B
    of_arc = (
        apart.product * torch.atan2(*arc_sine.by_length)
        + apart.stretch * (apart.stretch * between + (x + y) * turned) / 4
    )
    # G = a^2 (r + 1 / r) for an input with itself, a = q / (1 + q); at K = sqrt(q q') it is a b (n + 1 / n)
    a, b = x**2 / (1 + x**2), y**2 / (1 + y**2)
    split = apart.gap / ((1 + x**2) * (1 + y**2))  # a - b
    mean, inner, narrow = (r + s) / 2, r * s, arc_sine.narrow
    gap = stretch**2
    height = mean + mean / inner  # of r + 1 / r, the mean over both inputs
    product = narrow * mean
    bent = -gap / 4 / (mean + narrow) + gap * (6 * inner + gap) / (8 * inner * narrow * (product + inner))
    return of_arc + split**2 * height / 2 + a * b * bent + split * (a + b) * stretch * (1 - 1 / inner) / 4
