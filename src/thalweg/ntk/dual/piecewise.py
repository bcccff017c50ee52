"""Activations of straight pieces that meet anywhere: hardtanh, ReLU6, hard sigmoid, soft shrinkage, clamp."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from thalweg.ntk.dual.arc import arc
from thalweg.ntk.dual.bivariate import Term, turned
from thalweg.ntk.dual.distances import Separation, length

SHORTEST = 1e-30  # the least length that is divided by
WORST = 5e-9  # of the integrals, for bends of one


@dataclass(eq=False)
class PiecewiseLinear:
    """phi(u) = start + first u + sum_i bends_i max(u - knots_i, 0).

    Let t be the angle between u and v, x = sqrt(q), y = sqrt(q') and
    F(s) = sum_ij bends_i bends_j exp(-(a^2 + b^2 - 2 a b cos s) / (2 sin^2 s)), a = knots_i / x, b = knots_j / y.
    Of parallel u and v everything is elementary; from there E phi' phi' falls by (1 / 2 pi) int_0^t F(s) ds and the
    distance grows by x y ((1 - cos t) times E phi' phi' of parallel ones, less
    (1 / 2 pi) int_0^t F(s) (cos s - cos t) ds).

    The integrals are sums of 200 terms. Against finer ones, over a wide range of q, q' and rho, they erred by less than
    a quarter of 5e-9 (sum of |bends|)^2, and distances by sqrt(q q') times as much where that is more than 1; the bounds
    are four times that, and `error` is of all pairs so far.

    Drezner, Wesolowsky (1990), On the computation of the bivariate normal integral.
    """

    name: str
    knots: tuple[float, ...]
    bends: tuple[float, ...]
    first: float = 0.0
    start: float = 0.0
    _longest: float = field(default=1.0, repr=False)  # of sqrt(q q'), but at least 1

    @property
    def error(self) -> float:
        """Of the sums that stand for integrals, for the longest pair so far."""
        return self.slope_error * self._longest

    @property
    def slope_error(self) -> float:
        """Likewise, whatever the lengths."""
        return WORST * sum(abs(bend) for bend in self.bends) ** 2

    def _bends(self, x: Tensor) -> Iterator[tuple[float, float, Tensor]]:
        """Every knot: its bend, its place, and its place in units of x."""
        for knot, bend in zip(self.knots, self.bends, strict=True):
            yield bend, knot, knot / x

    def mean(self, q: Tensor) -> Tensor:
        """Start + sum_i bends_i (x n(a) - knots_i Phi(-a))."""
        x = _length(q)
        parts = [bend * (x * _density(a) - knot * _above(a)) for bend, knot, a in self._bends(x)]
        return (self.start + sum(parts)).to(q.dtype)  # type: ignore[union-attr]

    def second_moment(self, q: Tensor) -> Tensor:
        """That of parallel inputs of one length, with the mean's square."""
        x, mean = _length(q), self.mean(q.to(torch.float64)) - self.start
        return (self._product(x, x) + self.start * (2 * mean + self.start)).to(q.dtype)

    def derivative(self, q: Tensor) -> Tensor:
        """Likewise."""
        x = _length(q)
        return self._slope(x, x).to(q.dtype)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """About a dozen operations for each of 200 terms and two for each pair of knots."""
        x, y = _length(q), _length(other)
        if x.numel() and y.numel():
            self._longest = max(self._longest, float(x.detach().max() * y.detach().max()))
        by_length = ((self._product(x, x) + self._product(y, y)) / 2 - self._product(x, y)).clamp_min(0.0)
        dtype = distance.dtype
        parallel = self._slope(x, y).to(dtype)
        fallen, lever = turned(arc(q, other, distance)[0], self._terms(x, y))
        apart = Separation.of(q, other, distance)
        gained = apart.excess * parallel - apart.product * lever / math.pi
        return by_length.to(dtype) + gained, parallel - fallen / (2 * math.pi)

    def _product(self, x: Tensor, y: Tensor) -> Tensor:
        """E (phi(x z) - start)(phi(y z) - start): lengths of parallel u and v."""
        total = self.first**2 * x * y
        for bend, knot, a in self._bends(x):
            for other, place, b in self._bends(y):
                later, sooner = torch.maximum(a, b), torch.minimum(a, b)
                both = (x * y + knot * place) * _above(later) - x * y * sooner * _density(later)
                total = total + bend * other * both
        if self.first:
            for bend, _, a in (*self._bends(x), *self._bends(y)):
                total = total + self.first * bend * x * y * _above(a)
        return total

    def _slope(self, x: Tensor, y: Tensor) -> Tensor:
        """E phi'(x z) phi'(y z)."""
        total = torch.full_like(x * y, self.first**2)
        for bend, _, a in self._bends(x):
            for other, _, b in self._bends(y):
                total = total + bend * other * _above(torch.maximum(a, b))
        if self.first:
            for bend, _, a in (*self._bends(x), *self._bends(y)):
                total = total + self.first * bend * _above(a)
        return total

    def _terms(self, x: Tensor, y: Tensor) -> list[Term]:
        """Of F: pairs of knots; a pair and the one with both signs changed are the same."""
        factors: dict[tuple[float, float], float] = {}
        for knot, bend in zip(self.knots, self.bends, strict=True):
            for other, more in zip(self.knots, self.bends, strict=True):
                sign = math.copysign(1.0, knot or other or 1.0)
                pair = (sign * knot, sign * other)
                factors[pair] = factors.get(pair, 0.0) + bend * more
        return [(factor, knot / x, other / y) for (knot, other), factor in factors.items()]


def _length(q: Tensor) -> Tensor:
    """sqrt(q) in float64, above zero."""
    return length(q.to(torch.float64)).clamp_min(SHORTEST)


def _density(a: Tensor) -> Tensor:
    """Of the standard Gaussian."""
    return torch.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)


def _above(a: Tensor) -> Tensor:
    """P(z > a)."""
    return torch.special.erfc(a / math.sqrt(2)) / 2
