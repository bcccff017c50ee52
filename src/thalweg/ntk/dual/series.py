"""The Hermite series of pairs, summed from the last term to the first."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.ntk.dual.distances import Separation, bounded, ratio
from thalweg.ntk.dual.table import Table


@dataclass(frozen=True)
class Places:
    """Where the series are summed: powers of rho for every pair, and the excess sqrt(q q') - K."""

    rho: Tensor
    excess: Tensor
    stride: int  # 2 for functions that are odd or even: every second term is zero
    first: int  # the first term of phi' that is not zero

    @classmethod
    def of(cls, q: Tensor, other: Tensor, distance: Tensor, parity: int) -> "Places":
        """With parity 1 for even functions, -1 for odd ones and 0 for others."""
        apart = Separation.of(q, other, distance)
        rho = bounded(apart.covariance * ratio(1.0, apart.product), -1.0, 1.0)
        return cls(rho, apart.excess, 2 if parity else 1, int(parity > 0))


def summed(ours: Table, theirs: Table, terms: int, places: Places) -> tuple[Tensor, Tensor]:
    """The next distance and the mean product of derivatives.

    The distance is sum_k (a_k - a'_k)^2 / 2, which the lengths account for, plus the excess times
    sum_j rho^j sum_{k >= j} b_k b'_k / (k + 1), since a_{k+1} = sqrt(q) b_k / sqrt(k + 1).
    """
    rho, dtype = places.rho, places.rho.dtype
    followed = torch.is_grad_enabled() and any(
        one.requires_grad
        for one in (ours.values, theirs.values, ours.derivatives, theirs.derivatives, rho, places.excess)
    )
    # By NumPy: torch's own takes a second to load what it knows of symbols.
    shape = torch.Size(np.broadcast_shapes(ours.second_moment.shape, theirs.second_moment.shape))
    sums = (_Sums if followed else _InPlace).of(rho, places.stride, shape)
    a, b = (_by_term(one.values, terms + 1) for one in (ours, theirs))
    c, d = (_by_term(one.derivatives, terms).to(dtype) for one in (ours, theirs))
    for k in reversed(range(places.first, terms, places.stride)):
        sums.add(c[k], d[k], k, places.stride)
        sums.add_gap(a[k + 1], b[k + 1])
    sums.add_gap(a[0], b[0])
    derivative = sums.derivative * rho if places.first else sums.derivative
    return sums.radial.to(dtype) / 2 + places.excess * sums.angular, derivative


def _by_term(coefficients: Tensor, count: int) -> Tensor:
    """The term in front, so that those of one term lie side by side."""
    return coefficients[..., :count].movedim(-1, 0).contiguous()


@dataclass
class _Sums:
    """What the series have come to, from the last term on; autograd can follow it."""

    rho: Tensor
    power: Tensor  # rho to the stride
    more: Tensor  # 1 + rho, where there is a stride
    derivative: Tensor  # of b_k b'_k rho^k
    tail: Tensor  # of b_k b'_k / (k + 1)
    angular: Tensor  # of the tails times rho^k
    radial: Tensor  # of (a_k - a'_k)^2, in float64
    gap: Tensor

    @classmethod
    def of(cls, rho: Tensor, stride: int, shape: torch.Size) -> "_Sums":
        """All zero; the shape is that of the lengths of both sides."""
        derivative, tail, angular = (torch.zeros_like(rho) for _ in range(3))
        radial, gap = (torch.zeros(shape, dtype=torch.float64, device=rho.device) for _ in range(2))
        return cls(rho, rho**stride, 1 + rho, derivative, tail, angular, radial, gap)

    def add(self, b: Tensor, c: Tensor, k: int, stride: int) -> None:
        """The term k; at a stride of 2 the tail from k - 1 on is the same as from k on."""
        self.derivative = torch.addcmul(b * c, self.derivative, self.power)
        self.tail = torch.addcmul(self.tail, b, c, value=1 / (k + 1))
        if k and stride == 2:
            self.angular = torch.addcmul(self.angular * self.power, self.tail, self.more)
        else:
            self.angular = torch.addcmul(self.tail, self.angular, self.rho)

    def add_gap(self, a: Tensor, b: Tensor) -> None:
        """What the lengths account for."""
        self.radial = self.radial + (a - b) ** 2


class _InPlace(_Sums):
    """The same without new memory."""

    def add(self, b: Tensor, c: Tensor, k: int, stride: int) -> None:
        """The term k."""
        self.derivative.mul_(self.power).addcmul_(b, c)
        self.tail.addcmul_(b, c, value=1 / (k + 1))
        if k and stride == 2:
            self.angular.mul_(self.power).addcmul_(self.tail, self.more)
        else:
            self.angular.mul_(self.rho).add_(self.tail)

    def add_gap(self, a: Tensor, b: Tensor) -> None:
        """In float64, for lengths that differ by little."""
        torch.sub(a, b, out=self.gap)
        self.radial.addcmul_(self.gap, self.gap)
