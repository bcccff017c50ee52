"""Functions of two lengths that vanish where these are equal, by interpolation: a small product for every pair."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

NODES = 14  # of one side; the other has one more, so that no two are equal
WIDEST = 2.0  # the ratio of lengths up to which so many nodes err by less than 1e-9: their poles lie beyond zero
STEPS = 4  # of a range's ends a doubling, so that many tiles have the same

Function = Callable[[Tensor, Tensor], Tensor]


def smooth(function: Callable[[Tensor, Tensor], Tensor], q: Tensor, other: Tensor, shape: torch.Size) -> Tensor | None:
    """f(q, q') = (sqrt(q) - sqrt(q'))^2 h(sqrt(q), sqrt(q')) of every pair, h by Chebyshev interpolation.

    Args:
        function: f in float64; h is analytic for lengths of positive real part.
        q, other: second moments, (n, 1) and (1, m).
        shape: of the pairs.

    Returns:
        (n, m), of the dtype of `q`, to within 1e-9; None where the lengths differ too much, or the pairs are too few to
        be worth it.
    """
    if len(shape) != 2 or q.shape != (shape[0], 1) or other.shape != (1, shape[1]) or min(shape) < 3 * NODES:
        return None
    x, y = q.double().sqrt().flatten(), other.double().sqrt().flatten()
    low, high = float(torch.minimum(x.min(), y.min())), float(torch.maximum(x.max(), y.max()))
    if not 0 < low <= high <= WIDEST * low:
        return None
    start, stop = math.floor(STEPS * math.log2(low)), math.floor(STEPS * math.log2(high)) + 1
    low, high = 2 ** (start / STEPS), 2 ** (stop / STEPS)
    middle, half = (low + high) / 2, (high - low) / 2
    rows, columns = _waves((x - middle) / half, NODES), _waves((y - middle) / half, NODES + 1)
    values = _values(function, low, high).to(x)
    gap = torch.sub(q, other).div_(x.to(q.dtype)[:, None] + y.to(q.dtype)).square_()
    return (rows @ values).to(q.dtype).mm(columns.T.to(q.dtype)).mul_(gap)


@functools.lru_cache(maxsize=256)
def _values(function: Function, low: float, high: float) -> Tensor:
    """h as coefficients of Chebyshev polynomials of both lengths, from its values at their nodes."""
    one, two = (math.pi * (torch.arange(count, dtype=torch.float64) + 0.5) / count for count in (NODES, NODES + 1))
    x, y = ((low + high) / 2 + (high - low) / 2 * angles.cos() for angles in (one, two))
    values = function(x[:, None] ** 2, y**2) / (x[:, None] - y) ** 2
    ours, theirs = (_waves(angles.cos(), len(angles)) * (2 / len(angles)) for angles in (one, two))
    ours[:, 0] /= 2
    theirs[:, 0] /= 2
    return ours.T @ values @ theirs


def _waves(places: Tensor, count: int) -> Tensor:
    """Chebyshev polynomials at places in [-1, 1], (places, count)."""
    orders = torch.arange(count, dtype=places.dtype, device=places.device)
    return torch.cos(places.clamp(-1, 1).acos()[:, None] * orders)
