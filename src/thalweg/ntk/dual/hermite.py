"""The dual of any activation: a series of Hermite polynomials whose error is certified."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.ntk.dual.distances import Separation, bounded, ratio
from thalweg.ntk.dual.table import Function, Table, slope_of, table

KEPT = 2**24  # numbers in the tables that are kept for the next tile


def hermite(
    function: Function, name: str, *, kinks: tuple[float, ...] = (), goal: float = 1e-11, terms: int = 256
) -> "Hermite":
    """The dual of any function on tensors that acts on every element alone, also of activations in a row.

    With a_k(q) = E phi(sqrt(q) z) h_k(z), h_k the normalized Hermite polynomials, and b_k likewise of phi':
    E phi(u) phi(v) = sum_k a_k(q) a_k(q') rho^k and E phi'(u) phi'(v) = sum_k b_k(q) b_k(q') rho^k.
    What the first m terms leave out is at most the root of the products of E phi^2 - sum_{k <= m} a_k^2 (Parseval).

    Args:
        function: phi; differentiated by autograd.
        name: of it, for messages.
        kinks: places other than zero at which phi or its derivative is not smooth: integrals are split there.
        goal: how much of E phi^2 (or of 1, if that is more) the series may leave out at most.
        terms: the most that are summed; a kink needs more than are worth it, and `error` says what was reached.

    Raises:
        ModelError: for a function that jumps, or is not finite.

    Cost: two one-dimensional integrals of about 1,200 nodes for every q, then seven operations a term for every pair;
    smooth functions take 20 to 100 terms.

    Daniely, Frostig, Singer (2016), arXiv:1602.05897.

    >>> import torch
    >>> import thalweg as tw
    >>> dual = tw.ntk.hermite(torch.tanh, "tanh")
    >>> one = torch.ones((), dtype=torch.float64)
    >>> distance, slope = dual.pair(one, one, one)  # uncorrelated: K = 0
    >>> bool((distance - dual.second_moment(one)).abs() < 1e-10), dual.error < 1e-10
    (True, True)
    """
    return Hermite(name, function, tuple(kinks), goal, terms)


@dataclass(eq=False)
class Hermite:
    """The dual that `hermite` returns; `error` is the bound over all pairs so far, for second moments and slopes."""

    name: str
    function: Function
    kinks: tuple[float, ...]
    goal: float
    terms: int
    error: float = 0.0
    _kept: "OrderedDict[Any, Table]" = field(default_factory=OrderedDict, repr=False)

    def mean(self, q: Tensor) -> Tensor:
        """A_0(q)."""
        return self._table(q).values[..., 0].to(q.dtype)

    def second_moment(self, q: Tensor) -> Tensor:
        """By quadrature, without the series."""
        return self._table(q).second_moment.to(q.dtype)

    def derivative(self, q: Tensor) -> Tensor:
        """By quadrature, without the series."""
        return self._table(q).derivative.to(q.dtype)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """One step of two series, from the last term to the first, for all pairs at once."""
        ours, theirs = self._table(q), self._table(other)
        terms = min(ours.slopes.shape[-1], theirs.slopes.shape[-1])
        self._certify(ours, theirs, terms)
        apart = Separation.of(q, other, distance)
        rho = bounded(apart.covariance * ratio(1.0, apart.product), -1.0, 1.0)
        return _series(ours, theirs, terms, rho, apart.excess)

    def _certify(self, ours: Table, theirs: Table, terms: int) -> None:
        """Raise `error` to what these tables leave out."""
        bounds = [2 * (a * b) ** 0.5 for a, b in zip(ours.left_out(terms), theirs.left_out(terms), strict=True)]
        self.error = max(self.error, *bounds, ours.doubt + theirs.doubt)

    def _table(self, q: Tensor) -> Table:
        """Made once for the same q, unless gradients with respect to it are asked."""
        again = torch.is_grad_enabled() and q.requires_grad
        key = None if again else (q.dtype, q.device, tuple(q.shape), q.detach().cpu().numpy().tobytes())
        if key is not None and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        slope = slope_of(self.function, self.name)
        made = table(self.function, slope, q, name=self.name, kinks=self.kinks, goal=self.goal, most=self.terms)
        if key is not None:
            self._kept[key] = made
            while sum(one.values.numel() for one in self._kept.values()) > KEPT and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return made


def _series(ours: Table, theirs: Table, terms: int, rho: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
    """The next distance and the mean product of slopes.

    The distance is sum_k (a_k - a'_k)^2 / 2, which the lengths account for, plus the excess sqrt(q q') - K times
    sum_j rho^j sum_{k >= j} b_k b'_k / (k + 1), since a_{k+1} = sqrt(q) b_k / sqrt(k + 1).
    """
    dtype, shape = rho.dtype, rho.shape
    slope, tail, angular, radial = (torch.zeros(shape, dtype=dtype, device=rho.device) for _ in range(4))
    for k in range(terms - 1, -1, -1):
        gap = (ours.values[..., k + 1] - theirs.values[..., k + 1]).to(dtype)
        b, c = ours.slopes[..., k].to(dtype), theirs.slopes[..., k].to(dtype)
        slope = torch.addcmul(b * c, slope, rho)
        tail = torch.addcmul(tail, b, c, value=1 / (k + 1))
        angular = torch.addcmul(tail, angular, rho)
        radial = torch.addcmul(radial, gap, gap)
    gap = (ours.values[..., 0] - theirs.values[..., 0]).to(dtype)
    return (radial + gap**2) / 2 + excess * angular, slope
