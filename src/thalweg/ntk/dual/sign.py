"""The sign, which has a limit of its outputs but none of its tangent kernel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.ntk.dual.arc import arc


@dataclass(frozen=True)
class Sign:
    """phi(u) = sign(u): E phi(u) phi(v) = (2 / pi) asin(rho), so that the distance is 2 t / pi at an angle t.

    E phi'(u)^2 is infinite: `derivative` refuses, and `pair` gives E phi'(u) phi'(v) = (2 / pi) / sqrt(q q' - K^2),
    which is finite for inputs that are not parallel.
    """

    name: str = "sign"
    error: float = 0.0
    slope_error: float = 0.0

    def mean(self, q: Tensor) -> Tensor:
        """Zero: the sign is odd."""
        return torch.zeros_like(q)

    def second_moment(self, q: Tensor) -> Tensor:
        """One, and zero where the pre-activation is always zero."""
        return (q > 0).to(q.dtype)

    def derivative(self, q: Tensor) -> Tensor:
        """Infinite: refused."""
        del q
        msg = (
            "The sign has no tangent kernel at infinite width: the mean of its squared derivative is infinite. Ask for "
            "the kernel of the outputs (nngp), or use a continuous activation such as erf or hardtanh."
        )
        raise ModelError(msg)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """One arc tangent."""
        angle, _ = arc(q, other, distance)
        first, second = ((one > 0).to(distance.dtype) for one in (q, other))
        area = torch.sqrt((q * other).to(distance.dtype)) * torch.sin(angle)
        both = first * second
        return both * (2 / math.pi) * angle + (first + second - 2 * both) / 2, 2 / math.pi / area
