"""The dual of any activation: a series of Hermite polynomials whose error is certified."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import check_count
from thalweg.ntk.dual.bent import Bent, bent_part
from thalweg.ntk.dual.kinks import kinks_of
from thalweg.ntk.dual.series import Places, summed
from thalweg.ntk.dual.table import Function, Table, table

KEPT = 2**24  # numbers in the tables that are kept for the next tile
_keeping = threading.RLock()  # tables and bounds are of all tiles, which several threads compute


@in_words
def hermite(
    function: Function, name: str, *, kinks: Sequence[float] | None = None, goal: float = 1e-11, terms: int = 1024
) -> "Hermite":
    """The dual of any function on tensors that acts on every element alone, also of activations in a row.

    With a_k(q) = E phi(sqrt(q) z) h_k(z), h_k the normalized Hermite polynomials, and b_k likewise of phi':
    E phi(u) phi(v) = sum_k a_k(q) a_k(q') rho^k and E phi'(u) phi'(v) = sum_k b_k(q) b_k(q') rho^k.
    Parseval's identity says what the terms beyond m can give at most: they have r = E phi^2 - sum_{k <= m} a_k^2 to
    themselves, and the distance errs by (sqrt(r) + sqrt(r'))^2 / 2 at most. Where phi' jumps, the ReLU-like part is
    in closed form and the series is of what remains.

    Args:
        function: phi; differentiated by autograd.
        name: of it, for messages.
        kinks: places at which phi' jumps; looked for within 40 of zero where they are not given.
        goal: how much of E phi^2 and E phi'^2 (or of 1, if that is more) the series may leave out at most.
        terms: the most that are summed; a kink needs more than are worth it, and `error` says what was reached.

    Raises:
        ModelError: for a function that jumps, or is not finite.

    Cost: two one-dimensional integrals of about 1,200 nodes for every q, then seven operations a term for every pair;
    smooth functions take about 30 terms for a unit of q.

    Daniely, Frostig, Singer (2016), arXiv:1602.05897.

    >>> import torch
    >>> import thalweg as tw
    >>> dual = tw.ntk.hermite(torch.tanh, "tanh")
    >>> one = torch.ones((), dtype=torch.float64)
    >>> distance, derivative = dual.pair(one, one, one)  # uncorrelated: K = 0
    >>> bool((distance - dual.second_moment(one)).abs() < dual.error), dual.error < 1e-10
    (True, True)
    """
    check_count("terms", terms)
    places = kinks_of(function) if kinks is None else tuple(float(kink) for kink in kinks)
    bent, kinks = bent_part(function, places), tuple(sorted({*places} - {0.0}))
    return Hermite(name, function, kinks, goal, terms, bent, 0 if bent else parity_of(function))


@dataclass(eq=False)
class Hermite:
    """What `hermite` returns, a `Dual`.

    Args:
        error: the certified bound for the distances and second moments of all pairs so far, of exact arithmetic: in
            float32 rounding comes on top.
        derivative_error: likewise for E phi' phi'.
    """

    name: str
    function: Function = field(repr=False)
    kinks: tuple[float, ...]
    goal: float
    terms: int
    bent: Bent | None = field(repr=False)
    parity: int
    error: float = 0.0
    derivative_error: float = 0.0
    _kept: "OrderedDict[Any, tuple[Table, ...]]" = field(default_factory=OrderedDict, repr=False)

    def mean(self, q: Tensor) -> Tensor:
        """a_0(q)."""
        return self._tables(q)[0].values[..., 0].to(q.dtype)

    def second_moment(self, q: Tensor) -> Tensor:
        """By quadrature, without the series."""
        return self._tables(q)[0].second_moment.to(q.dtype)

    def derivative(self, q: Tensor) -> Tensor:
        """By quadrature, without the series."""
        return self._tables(q)[0].derivative.to(q.dtype)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """One step of two series, from the last term to the first, for all pairs at once."""
        ours, theirs = self._tables(q), self._tables(other)
        terms = max(one.needed(self.goal) for one in (*ours[:2], *theirs[:2]))
        ours, theirs = self._tables(q, terms), self._tables(other, terms)
        places = Places.of(q, other, distance, self.parity)
        away, derivative = summed(ours[0], theirs[0], terms, places)
        if self.bent is not None:
            known, in_series = self.bent.dual.pair(q, other, distance), summed(ours[1], theirs[1], terms, places)
            away, derivative = away - in_series[0] + known[0], derivative - in_series[1] + known[1]
        self._certify(ours, theirs, terms)
        return away, derivative

    def _certify(self, ours: tuple[Table, ...], theirs: tuple[Table, ...], terms: int) -> None:
        """Raise the bounds to what these tables leave out.

        Of a whole a = p + r whose bent part p is in closed form, the series errs by the tail of a a' - p p'.
        """
        left = [[max(0.0, one) ** 0.5 for one in side.left_out(terms)] for side in (*ours, *theirs)]
        doubt = ours[0].doubt + theirs[0].doubt
        if self.bent is None:
            (a, b), (c, d) = left
            away, derivative = (a + c) ** 2 / 2, b * d
        else:
            (a, _), (p, p_derivative), (r, r_derivative), (c, _), (s, s_derivative), (t, t_derivative) = left
            away = (r * (a + p) + t * (c + s)) / 2 + r * t + p * t + r * s
            derivative = r_derivative * t_derivative + p_derivative * t_derivative + r_derivative * s_derivative
            away, derivative = away + self.bent.dual.error, derivative + self.bent.dual.derivative_error
        with _keeping:
            self.error = max(self.error, away + doubt)
            self.derivative_error = max(self.derivative_error, derivative + doubt)

    def _tables(self, q: Tensor, terms: int = 1) -> tuple[Table, ...]:
        """Of phi, and of its bent part and the rest; kept for the same q, unless gradients by it are asked."""
        if torch.is_grad_enabled() and q.requires_grad:
            return self._made(q, terms)
        key = (q.dtype, q.device, tuple(q.shape), q.detach().cpu().numpy().tobytes())
        with _keeping:
            found = self._kept.get(key)
        if found is None or min(one.terms for one in found) < terms:
            found = self._made(q, terms)
        with _keeping:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while (
                sum(one.values.numel() for ones in self._kept.values() for one in ones) > KEPT and len(self._kept) > 2
            ):
                self._kept.popitem(last=False)
        return found

    def _made(self, q: Tensor, terms: int) -> tuple[Table, ...]:
        """The tables, of one function or of three, with at least so many terms."""
        whole = self.function
        if self.bent is None:
            return (self._table(whole, q, terms),)
        bent = self.bent.function
        terms = max(self._table(one, q, terms).terms for one in (whole, bent))
        return tuple(self._table(one, q, terms) for one in (whole, bent, lambda u: whole(u) - bent(u)))

    def _table(self, function: Function, q: Tensor, terms: int) -> Table:
        most = max(terms, self.terms)
        return table(function, q, name=self.name, kinks=self.kinks, goal=self.goal, least=terms, most=most)


def parity_of(function: Function) -> int:
    """1 for even functions, -1 for odd ones, 0 for others."""
    points = torch.linspace(0.01, 20.0, 257, dtype=torch.float64)
    with torch.no_grad():
        right, left = function(points), function(-points)
    near = 1e-14 * (1 + right.abs())
    return int(bool(((right - left).abs() <= near).all())) - int(bool(((right + left).abs() <= near).all()))
