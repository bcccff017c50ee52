"""Adafactor: a second moment kept as row and column means."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.inplace import axpy, blend
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population.layout import Entry


@dataclass(frozen=True)
class Adafactor(MatrixRule):
    """Adafactor with relative steps and update clipping (Shazeer & Stern, 2018, arXiv:1804.04235).

        r <- (1 - t^-c) r + t^-c mean of G^2 over each row,    k likewise over each column
        U = G / sqrt(r k^T / mean(r)),    U <- U / max(1, rms(U) / clip)
        theta <- theta - max(floor, rms(theta)) min(lr, 1/sqrt(t)) U

    for every tensor whole: matrices as (filters, rest); what has one row keeps its second moment k itself.
    No momentum. Memory beside theta: rows + columns numbers per matrix, which is its point. Equals
    torch.optim.Adafactor(lr, beta2_decay=-c, eps=(None, floor), d=clip) on vectors and matrices; on a convolution
    torch factors the last two dimensions, the kernel, alone. Each mean counts as at least the square of the machine
    epsilon; in torch their product does.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Adafactor()).torch
    'torch.optim.Adafactor(params, lr=0.01, beta2_decay=-0.8, eps=(None, 0.001), d=1.0)'
    """

    lr: Swept = 1e-2
    c: Swept = 0.8
    floor: Swept = 1e-3
    clip: Swept = 1.0
    weight_decay: Swept = field(default=0.0, kw_only=True)
    decay: str = field(default="lr_coupled", kw_only=True)

    def takes(self, entry: Entry) -> bool:
        """Every tensor is taken whole."""
        return True

    def factors(self, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        """Means of the squared gradient over rows and columns, and the size of theta before it decayed."""
        kept: dict[str, tuple[int, ...]] = {"column_moment": (1, columns), "size": (1, 1)}
        return kept if rows == 1 else kept | {"row_moment": (rows, 1)}

    def decayed(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, where: Tensor | None
    ) -> None:
        """Weight decay, after the size of theta (members, parameters of one tensor) is measured."""
        state["size"].copy_(_rms(theta[:, None]))
        super().decayed(theta, gradient, state, h, where)

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters) -> None:
        """One step in place of one tensor, (members, rows, columns)."""
        t, least = h.step, torch.finfo(theta.dtype).eps
        columns = blend(state["column_moment"], t**-h.c, _mean_square(gradient, 1))
        if "row_moment" in state:
            rows = blend(state["row_moment"], t**-h.c, _mean_square(gradient, 2))
            gradient.mul_((rows / rows.mean(1, keepdim=True).clamp_min(least)).clamp_min(least**2).rsqrt())
        update = gradient.mul_(columns.clamp_min(least**2).rsqrt())
        size = torch.maximum(state["size"], _like(h.floor, theta))
        rate = torch.minimum(_like(h.lr, theta), _like(t**-0.5, theta))
        clipped = torch.clamp_min(_rms(update) / _like(h.clip, theta), 1.0)
        axpy(theta, -size * rate / clipped, update)


def _mean_square(matrices: Tensor, dim: int) -> Tensor:
    """The mean of the squares along a dimension, which stays as one."""
    return torch.linalg.vector_norm(matrices, dim=dim, keepdim=True).square_() / matrices.shape[dim]


def _rms(matrices: Tensor) -> Tensor:
    """The root mean square of each (members, rows, columns), as (members, 1, 1)."""
    return torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True) / (matrices[0].numel() ** 0.5)


def _like(value: Any, theta: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=theta.dtype, device=theta.device)
