"""The straight pieces that have a function's kinks: what is left of the function is smoother."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.dual.base import Dual
from thalweg.ntk.dual.piecewise import PiecewiseLinear
from thalweg.ntk.dual.rectifier import Rectifier
from thalweg.ntk.dual.table import Function, slope_of

BESIDE = 1e-9  # how near a kink the derivative is looked at
JUMP = 1e-6  # of a derivative: less is rounding


@dataclass(frozen=True)
class Bent:
    """sum_i bends_i max(u - knots_i, 0), and its dual."""

    knots: tuple[float, ...]
    bends: tuple[float, ...]

    @property
    def dual(self) -> Dual:
        """In closed form for a kink at zero."""
        if self.knots == (0.0,):
            return Rectifier("bent part", 0.0, self.bends[0])
        return PiecewiseLinear("bent part", self.knots, self.bends)

    def function(self, u: Tensor) -> Tensor:
        """Of a tensor."""
        total = torch.zeros_like(u)
        for knot, bend in zip(self.knots, self.bends, strict=True):
            total = total + bend * (u - knot).clamp_min(0.0)
        return total


def bent_part(function: Function, places: tuple[float, ...]) -> Bent | None:
    """By how much the derivative jumps at the places given; None where it nowhere does."""
    slope, knots = slope_of(function), torch.tensor(places, dtype=torch.float64)
    beside = BESIDE * knots.abs().clamp_min(1.0)
    jumps = slope(knots + beside) - slope(knots - beside)
    found = [(float(knot), float(jump)) for knot, jump in zip(knots, jumps, strict=True) if abs(jump) > JUMP]
    return Bent(*map(tuple, zip(*found, strict=True))) if found else None  # type: ignore[arg-type]
