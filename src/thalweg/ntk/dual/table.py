"""The Hermite coefficients of a function at every length of its input, and what is left out of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.ntk.dual.distances import length
from thalweg.ntk.dual.quadrature import END, PANELS, Rule

AT_A_TIME = 2**21  # numbers held by one quadrature
FIRST = 32  # terms tried at first
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

    def left_out(self, terms: int) -> tuple[float, float]:
        """Largest sums of squares of the coefficients beyond `terms`, of phi and phi', by Parseval's identity."""
        pairs = ((self.values[..., : terms + 1], self.second_moment), (self.slopes[..., :terms], self.derivative))
        return tuple(_rest(coefficients, whole) for coefficients, whole in pairs)  # type: ignore[return-value]


def _rest(coefficients: Tensor, whole: Tensor) -> float:
    """The largest of E f^2 - sum of squares, not below what rounding leaves of it."""
    if not whole.numel():
        return 0.0
    rest = whole - coefficients.square().sum(-1)
    return float(torch.maximum(rest, LEAST * whole).max().detach())


def slope_of(function: Function, name: str) -> Function:
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
    function: Function, slope: Function, q: Tensor, *, name: str, kinks: tuple[float, ...], goal: float, most: int
) -> Table:
    """As many terms as bring what is left out below `goal` times the mean square (or 1), at most `most`."""
    x = length(q.to(torch.float64)).reshape(-1, 1)
    terms = FIRST
    while True:
        terms = min(terms, most)
        found = _joined([_part(function, slope, part, kinks, terms) for part in x.split(_rows(kinks))])
        reached = max(found.left_out(terms))
        if terms == most or reached <= goal * max(1.0, float(found.second_moment.max()) if x.numel() else 1.0):
            break
        terms *= 2
    _check(found, x, name)
    shape = q.shape
    return Table(
        found.values.reshape(*shape, -1),
        found.slopes.reshape(*shape, -1),
        found.second_moment.reshape(shape),
        found.derivative.reshape(shape),
        found.doubt,
    )


def _rows(kinks: tuple[float, ...]) -> int:
    """How many lengths a quadrature handles at a time."""
    return max(1, AT_A_TIME // (24 * PANELS * (2 + len(kinks))))


def _part(function: Function, slope: Function, x: Tensor, kinks: tuple[float, ...], terms: int) -> Table:
    """The table of some lengths x, of shape (lengths, 1)."""
    rule, other = Rule.of(x, kinks), Rule.of(x, kinks, PANELS - 7)
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
    columns = zip(*((p.values, p.slopes, p.second_moment, p.derivative) for p in parts), strict=True)
    return Table(*(torch.cat(column) for column in columns), max(part.doubt for part in parts))


def _check(found: Table, x: Tensor, name: str) -> None:
    """Refuse what is not finite, and a function that jumps: sqrt(k + 1) a_{k+1} = sqrt(q) b_k holds without jumps."""
    if not bool(torch.isfinite(found.values).all() & torch.isfinite(found.slopes).all()):
        msg = f"{name!r} or its derivative is not finite for Gaussian pre-activations; its infinite limit is undefined."
        raise ModelError(msg)
    few = found.slopes[:, :8]
    roots = torch.arange(1, few.shape[1] + 1, dtype=few.dtype, device=few.device).sqrt()
    gap = (roots * found.values[:, 1 : few.shape[1] + 1] - x * few).abs()
    if len(x) and float((gap / (1 + found.second_moment.sqrt()[:, None])).max()) > 1e-6:
        msg = (
            f"{name!r} jumps: the derivative that autograd gives is not the one its mean has, and its tangent kernel "
            "is infinite. Use a continuous activation, or kernels of finite networks (ntk.empirical)."
        )
        raise ModelError(msg)
