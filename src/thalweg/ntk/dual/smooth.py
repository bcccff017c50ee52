"""Functions of two lengths that vanish where these are equal, by interpolation: a small product for every pair."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

NODES = 12  # of one side; the other has one more, so that no two are equal
WIDEST = 2.0  # the ratio of lengths up to which 12 nodes err by less than 1e-9: their poles lie beyond zero


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
    if len(shape) != 2 or q.shape != (shape[0], 1) or other.shape != (1, shape[1]) or min(shape) < 4 * NODES:
        return None
    x, y = q.double().sqrt().flatten(), other.double().sqrt().flatten()
    low, high = float(torch.minimum(x.min(), y.min())), float(torch.maximum(x.max(), y.max()))
    if not 0 < low <= high <= WIDEST * low:
        return None
    high = max(high, low * (1 + 1e-6))
    middle, half = (low + high) / 2, (high - low) / 2
    ours, theirs = _angles(NODES, x), _angles(NODES + 1, x)
    one, two = (middle + half * angles.cos() for angles in (ours, theirs))
    values = function(one[:, None] ** 2, two**2) / (one[:, None] - two) ** 2
    rows, columns = _weights(ours, (x - middle) / half), _weights(theirs, (y - middle) / half)
    gap = torch.sub(q, other).div_(x.to(q.dtype)[:, None] + y.to(q.dtype)).square_()
    return (rows @ values).to(q.dtype).mm(columns.T.to(q.dtype)).mul_(gap)


def _angles(count: int, like: Tensor) -> Tensor:
    """Whose cosines are Chebyshev's nodes."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * (math.pi / count)


def _weights(angles: Tensor, places: Tensor) -> Tensor:
    """What the value at every node counts at every place in [-1, 1], (places, nodes)."""
    count = len(angles)
    orders = torch.arange(count, dtype=angles.dtype, device=angles.device)
    at_places = torch.cos(places.clamp(-1, 1).acos()[:, None] * orders)
    at_nodes = torch.cos(angles[:, None] * orders) * (2 / count)
    at_nodes[:, 0] /= 2
    return at_places @ at_nodes.T
