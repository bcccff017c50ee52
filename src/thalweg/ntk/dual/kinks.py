"""Where a function's derivative jumps: looked for on a grid, and narrowed down by halving."""

import torch
from torch import Tensor

from thalweg.ntk.dual.table import Function, slope_of

REACH, GRID = 40.0, 20_001  # how far from zero, and at how many places
SUSPECTS, HALVINGS = 64, 48
JUMP = 1e-6  # of the derivative, or of 1: less is rounding


def kinks_of(function: Function) -> tuple[float, ...]:
    """The places within 40 of zero at which the derivative jumps by a millionth of its size (or of 1), at most 64."""
    slope = slope_of(function)
    low = torch.linspace(-REACH, REACH, GRID, dtype=torch.float64)
    low, high = low[:-1] + 1e-4 / 3, low[1:] + 1e-4 / 3  # zero and other round places lie inside an interval
    change = _change(slope, low, high)
    suspects = change.topk(SUSPECTS).indices
    low, high = low[suspects], high[suspects]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        left = _change(slope, low, middle) >= _change(slope, middle, high)
        low, high = torch.where(left, low, middle), torch.where(left, middle, high)
    size = 1 + torch.maximum(slope(low).abs(), slope(high).abs())
    found = ((low + high) / 2)[_change(slope, low, high) > JUMP * size]
    return tuple(sorted({_round(float(place)) for place in found}))


def _round(place: float) -> float:
    """What was written, where the place is it but for rounding."""
    written = round(place, 9) + 0.0
    return written if abs(written - place) < 1e-13 else place


def _change(slope: Function, low: Tensor, high: Tensor) -> Tensor:
    """How far the derivatives at two ends of an interval differ."""
    return (slope(high) - slope(low)).abs().nan_to_num(0.0)
