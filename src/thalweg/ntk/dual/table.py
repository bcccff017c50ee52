"""The Hermite coefficients of a function at every length of its input, and what is left out of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.ntk.dual.distances import length
from thalweg.ntk.dual.quadrature import END, FEWER, NODES, PANELS, Rule

AT_A_TIME = 2**18  # numbers held by one quadrature
FIRST = 32  # terms tried at first
STUBBORN = 256  # from so many terms on, doubling them must pay
LEAST = 4e-16  # of a mean square: what rounding leaves of it

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Table:
    """phi(sqrt(q) z) = sum_k a_k h_k(z) and phi'(sqrt(q) z) = sum_k b_k h_k(z), for every q.

    Args:
        values: a_k, of shape (*shape of q, terms + 1), float64.
        slopes: b_k, (*shape of q, terms).
        second_moment, derivative: E phi^2 and E phi'^2, by quadrature without the series.
        doubt: how far two quadratures of E phi^2 differ, largest over q, and what lies beyond the last node.
    """

    values: Tensor
    slopes: Tensor
    second_moment: Tensor
    derivative: Tensor
    doubt: float

    @property
    def terms(self) -> int:
        """Of the series of phi'."""
        return self.slopes.shape[-1]

    def left_out(self, terms: int) -> tuple[float, float]:
        """Largest sums of squares of the coefficients of phi and phi' beyond `terms`, by Parseval's identity."""
        return (
            _rest(self.values[..., : terms + 1], self.second_moment),
            _rest(self.slopes[..., :terms], self.derivative),
        )

    def needed(self, goal: float) -> int:
        """The fewest terms that bring both sums below `goal` times the largest mean square (or 1)."""
        if not self.second_moment.numel():
            return 1
        with torch.no_grad():
            squares = torch.stack([self.values[..., 1:] ** 2, self.slopes**2]).cumsum(-1)
            whole = torch.stack([self.second_moment - self.values[..., 0] ** 2, self.derivative])
            rest = (whole[..., None] - squares).flatten(0, -2).amax(0)
            enough = (rest <= goal * max(1.0, float(self.second_moment.max()))).nonzero()
        return 1 + int(enough[0]) if len(enough) else self.terms


def _rest(coefficients: Tensor, whole: Tensor) -> float:
    """The largest of E f^2 - sum of squares, not below what rounding leaves of it."""
    if not whole.numel():
        return 0.0
    rest = whole - coefficients.square().sum(-1)
    return float(torch.maximum(rest, LEAST * whole).max().detach())


def slope_of(function: Function) -> Function:
    """The derivative of a function that acts on every element alone, by automatic differentiation."""

    def slope(points: Tensor) -> Tensor:
        again = torch.is_grad_enabled() and points.requires_grad
        with torch.enable_grad():
            points = points if again else points.detach().requires_grad_()
            values = function(points)
            if not values.requires_grad:
                return torch.zeros_like(points)
            (found,) = torch.autograd.grad(values.sum(), points, create_graph=again, allow_unused=True)
        if found is None:
            return torch.zeros_like(points)
        return found if again else found.detach()

    return slope


def table(
    function: Function, q: Tensor, *, name: str, kinks: tuple[float, ...], goal: float, least: int, most: int
) -> Table:
    """As many terms as bring what is left out below `goal` times the mean square (or 1), between `least` and `most`.

    Where twice the terms do not leave out four times less, as at a kink, no more are tried.
    """
    x, slope = length(q.to(torch.float64)).reshape(-1, 1), slope_of(function)
    rows = max(1, AT_A_TIME // (NODES * (FEWER * (2 + len(kinks)) if kinks else 2 * PANELS)))
    terms, before = max(least, STUBBORN if kinks else FIRST), 0.0 if kinks else float("inf")
    while True:
        terms = min(terms, most)
        found = _joined([_part(function, slope, part, kinks, terms) for part in x.split(rows)])
        wanted = goal * max(1.0, float(found.second_moment.detach().max()) if x.numel() else 1.0)
        left = max(found.left_out(terms))
        if terms == most or left <= wanted or (terms >= STUBBORN and left > before / 4):
            break
        terms, before = 2 * terms, left
    _check(found, x, name)
    shape = q.shape
    return Table(
        found.values.reshape(*shape, terms + 1),
        found.slopes.reshape(*shape, terms),
        found.second_moment.reshape(shape),
        found.derivative.reshape(shape),
        found.doubt,
    )


def _part(function: Function, slope: Function, x: Tensor, kinks: tuple[float, ...], terms: int) -> Table:
    """The table of some lengths x, of shape (lengths, 1)."""
    rule, other = Rule.of(x, kinks), Rule.of(x, kinks, less=5)
    values, slopes = function(x * rule.places), slope(x * rule.places)
    second_moment = rule.mean(values**2)
    doubt = (second_moment - other.mean(function(x * other.places) ** 2)).abs()
    ends = function(x * torch.tensor([[-END, END]], dtype=x.dtype, device=x.device)) ** 2
    beyond = ends.sum(1) * float(torch.exp(torch.tensor(-(END**2) / 2)))
    return Table(
        rule.coefficients(values, terms + 1),
        rule.coefficients(slopes, terms),
        second_moment,
        rule.mean(slopes**2),
        float((doubt + beyond).max().detach()) if len(x) else 0.0,
    )


def _joined(parts: list[Table]) -> Table:
    """The tables of further lengths below the first."""

    def column(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    doubt = max(part.doubt for part in parts)
    return Table(column("values"), column("slopes"), column("second_moment"), column("derivative"), doubt)


def _check(found: Table, x: Tensor, name: str) -> None:
    """Refuse what is not finite, and a function that jumps: sqrt(k + 1) a_{k+1} = sqrt(q) b_k holds without jumps."""
    if not bool(torch.isfinite(found.values).all() & torch.isfinite(found.slopes).all()):
        msg = f"{name!r} or its derivative is not finite for Gaussian pre-activations; its infinite limit is undefined."
        raise ModelError(msg)
    few = found.slopes[:, :8]
    roots = torch.arange(1, few.shape[1] + 1, dtype=few.dtype, device=few.device).sqrt()
    gap = (roots * found.values[:, 1 : few.shape[1] + 1] - x * few).abs()
    if len(x) and float((gap / (1 + found.second_moment.sqrt()[:, None])).detach().max()) > 1e-6:
        msg = (
            f"{name!r} jumps: its derivative by autograd leaves the jumps out, and with them its tangent kernel at "
            "infinite width is infinite. Use a continuous activation, or kernels of finite networks "
            "(thalweg.ntk.empirical)."
        )
        raise ModelError(msg)
