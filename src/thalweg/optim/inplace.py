"""Operations on a matrix in place, with one number for all members or a column of one each.

Columns are (members, 1) in float64 and on the CPU, whatever theta is: coefficients such as 1 - beta2 are
computed from them exactly, and rounded once, where they meet the matrix. A number and a column of it take the same
operations in the same order, so they give the same bits in float32 and float64.
"""

from typing import Any

import torch
from torch import Tensor

Hyper = Any  # a float, or a column (members, 1) of float64


def scale(y: Tensor, a: Hyper) -> Tensor:
    """y <- a y."""
    return y.mul_(_beside(y, a))


def shift(y: Tensor, a: Hyper) -> Tensor:
    """y <- y + a."""
    return y.add_(_beside(y, a))


def blend(y: Tensor, a: Hyper, x: Tensor) -> Tensor:
    """y <- (1 - a) y + a x."""
    return y.lerp_(x, _beside(y, a))


def axpy(y: Tensor, a: Hyper, x: Tensor) -> Tensor:
    """y <- y + a x."""
    return y.addcmul_(x, _beside(y, a)) if isinstance(a, Tensor) else y.add_(x, alpha=a)


def displaced(y: Tensor, a: Hyper, x: Tensor, out: Tensor) -> Tensor:
    """out <- y + a x."""
    if isinstance(a, Tensor):
        return torch.addcmul(y, x, _beside(y, a), out=out)
    return torch.add(y, x, alpha=a, out=out)


def blend_square(y: Tensor, a: Hyper, x: Tensor, scratch: Tensor) -> Tensor:
    """y <- (1 - a) y + (a x) x, which overflows later than x^2 does."""
    scale(y, 1 - a)
    if isinstance(a, Tensor):
        return y.addcmul_(torch.mul(x, _beside(x, a), out=scratch), x)
    return y.addcmul_(x, x, value=a)


def add_quotient(y: Tensor, a: Hyper, x: Tensor, z: Tensor) -> Tensor:
    """y <- y + (a x) / z."""
    return y.addcdiv_(x * _beside(x, a), z) if isinstance(a, Tensor) else y.addcdiv_(x, z, value=a)


def norms(x: Tensor) -> Tensor:
    """|x| of every member (members, parameters), as a column; also where squares would overflow or vanish."""
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    number = torch.finfo(x.dtype)
    trusted = (norm > (number.tiny / number.eps) ** 0.5) & norm.isfinite()
    if not trusted.all():
        rows = ~trusted.flatten()
        largest = x[rows].abs().amax(1, keepdim=True)
        scaled = x[rows] / largest.masked_fill(largest == 0, 1)
        norm[rows] = (largest * torch.linalg.vector_norm(scaled, dim=1, keepdim=True)).clamp_max(number.max)
    return norm


def _beside(y: Tensor, a: Hyper) -> Hyper:
    return a.to(y) if isinstance(a, Tensor) else a
