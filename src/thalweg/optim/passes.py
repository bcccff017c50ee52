"""Passes over a matrix in place, with one number for all members or a column of one each.

Columns are (members, 1) in float64 and on the CPU, whatever theta is: coefficients such as 1 - beta2 are
computed from them exactly, and rounded once, where they meet the matrix.
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


def add_quotient(y: Tensor, a: Hyper, x: Tensor, z: Tensor) -> Tensor:
    """y <- y + a x / z; z is overwritten."""
    return axpy(y, a, torch.div(x, z, out=z)) if isinstance(a, Tensor) else y.addcdiv_(x, z, value=a)


def _beside(y: Tensor, a: Hyper) -> Hyper:
    return a.to(y) if isinstance(a, Tensor) else a
