"""Differences of arc sines near one, which the duals of erf and GELU are made of, without loss of digits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.dual.distances import Separation, ratio


def own_arc_sine(q: Tensor) -> Tensor:
    """asin(q / (1 + q)) = 2 atan(r) - pi / 2 = 2 atan((r - 1) / (r + 1)), with r = sqrt(1 + 2q)."""
    r = torch.sqrt(1 + 2 * q)
    return 2 * torch.atan(2 * q / (r + 1) ** 2)


@dataclass(frozen=True)
class ArcSine:
    """How asin(K / sqrt(P)), P = (1 + q)(1 + q'), falls from the mean of the two inputs' own values.

    With A = asin(q / (1 + q)), B likewise of q', and C the value at K = sqrt(q q'), the fall is the sum of
    (A + B) / 2 - C, which the lengths account for, and of C - asin(K / sqrt(P)). Each is held as a point
    (sine, cosine) times some number, and every sine is a sum of terms of one sign.
    """

    separation: Separation
    r: Tensor  # sqrt(1 + 2q)
    s: Tensor  # sqrt(1 + 2q')
    square: Tensor  # 1 + q + q' = P - q q'
    narrow: Tensor  # sqrt(P - q q') = sqrt(P) cos C
    wide: Tensor  # sqrt(P - K^2)

    @classmethod
    def of(cls, separation: Separation) -> "ArcSine":
        """Of a distance."""
        q, other = separation.x**2, separation.y**2
        square = 1 + q + other
        r, s = torch.sqrt(1 + 2 * q), torch.sqrt(1 + 2 * other)
        return cls(separation, r, s, square, torch.sqrt(square), torch.sqrt(square + separation.opened))

    @property
    def stretch(self) -> Tensor:
        """R - s."""
        return 2 * self.separation.gap / (self.r + self.s)

    @property
    def by_length(self) -> tuple[Tensor, Tensor]:
        """(A + B) / 2 - C: the difference of two tangents, from that of their squares.

        tan((A + B) / 2) = (r s - 1) / (r + s), and tan C = sqrt(q q') / sqrt(1 + q + q').
        """
        low, high = self.r - 1, self.s - 1
        mean = (low + high + low * high) / (self.r + self.s)
        longest = self.separation.product / self.narrow
        gap = self.stretch**2
        squares = gap * ((self.r * self.s + 1) ** 2 + gap) / (4 * (self.r + self.s) ** 2 * self.square)
        return ratio(squares, mean + longest), 1 + mean * longest

    @property
    def by_correlation(self) -> tuple[Tensor, Tensor]:
        """C - asin(K / sqrt(P)), times P."""
        apart = self.separation
        sine = apart.product * apart.opened / (self.wide + self.narrow) + apart.excess * self.narrow
        return sine, self.narrow * self.wide + apart.product * apart.covariance

    @property
    def fall(self) -> Tensor:
        """The sum of both."""
        (a, b), (c, d) = self.by_length, self.by_correlation
        return torch.atan2(a * d + b * c, b * d - a * c)
