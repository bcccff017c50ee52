"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import check_count
from thalweg.optim.adam import AdamW
from thalweg.optim.inplace import axpy, blend, shift
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population.layout import Entry


@dataclass(frozen=True)
class SOAP(MatrixRule):
    """Adam run in the eigenbases of L and R, which turn slowly (Vyas et al., 2024, arXiv:2409.11321).

        L <- beta_shampoo L + (1 - beta_shampoo) G G^T,    R likewise of G^T G,    after the step
        m <- beta1 m + (1 - beta1) G,    v <- beta2 v + (1 - beta2) (Q_L^T G Q_R)^2
        theta <- theta - lr Q_L (m' sqrt(1 - beta2^t) / ((1 - beta1^t) (sqrt(v) + eps))) Q_R^T,    m' = Q_L^T m Q_R

    for every matrix G (rows, columns) whose sides are at most `largest`, convolutions as (filters, rest). The first
    gradient only gives the first bases, by eigendecomposition; later ones come from one power iteration and QR
    every `every` steps, and v follows their order. So t counts from the second step. All other tensors follow
    `fallback`, from the first step on. Equals the authors' code and pytorch_optimizer.SOAP where these decay after
    the step (here before it).

    Memory beside theta and two moments: 2 (rows^2 + columns^2) a matrix. Cost of a step: about
    6 rows columns (rows + columns) multiplications, and a QR of both sides every `every` steps.

    >>> import thalweg as tw
    >>> tw.optim.SOAP(0.003).factors(rows=3, columns=5)
    {'left': (3, 3), 'right': (5, 5), 'left_basis': (3, 3), 'right_basis': (5, 5)}
    """

    lr: Swept = 3e-3
    beta1: Swept = 0.95
    beta2: Swept = 0.95
    beta_shampoo: Swept = 0.95
    eps: Swept = 1e-8
    every: int = 10
    largest: int = 10_000
    fallback: Rule = field(default_factory=lambda: AdamW(3e-3, 0.95, 0.95))  # type: ignore[misc]
    weight_decay: Swept = field(default=1e-2, kw_only=True)
    decay: str = field(default="lr_coupled", kw_only=True)
    matrix_slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    turned_slots: ClassVar[tuple[str, ...]] = ("second_moment",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("every", "largest"):
            check_count(f"SOAP {name}", getattr(self, name))

    def takes(self, entry: Entry) -> bool:
        """Whether it is a matrix with sides that are not too large."""
        return entry.filters is not None and max(entry.filters, entry.size // entry.filters) <= self.largest

    def factors(self, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        """L and R, and their eigenvectors in columns."""
        left, right = (rows, rows), (columns, columns)
        return {"left": left, "right": right, "left_basis": left, "right_basis": right}

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters) -> None:
        """One step in place of one tensor, (members, rows, columns)."""
        m, v, t = state["first_moment"], state["second_moment"], h.step - 1
        left, right = state["left_basis"], state["right_basis"]
        if t > 0:
            blend(m, 1 - h.beta1, gradient)
            blend(v, 1 - h.beta2, (left.mT @ gradient @ right).square_())
            turned = (left.mT @ m @ right).div_(shift(v.sqrt(), h.eps))
            axpy(theta, -h.lr * (1 - h.beta2**t) ** 0.5 / (1 - h.beta1**t), left @ turned @ right.mT)
        blend(state["left"], 1 - h.beta_shampoo, gradient @ gradient.mT)
        blend(state["right"], 1 - h.beta_shampoo, gradient.mT @ gradient)
        if t == 0:
            left.copy_(eigenbasis(state["left"]))
            right.copy_(eigenbasis(state["right"]))
        elif t % self.every == 0:
            v.copy_(v.gather(1, refreshed(state["left"], left)[:, :, None].expand_as(v)))
            v.copy_(v.gather(2, refreshed(state["right"], right)[:, None, :].expand_as(v)))


def eigenbasis(covariance: Tensor) -> Tensor:
    """Eigenvectors (members, n, n) in columns, of falling eigenvalue; NaN for a member with an entry not finite.

    Where no gradient has been, any basis is one. Rounding would choose it, and a member would depend on who is with
    it; so there it is that of the eigenvectors of diag(1, ..., n) in this space.
    """
    finite = torch.isfinite(covariance).all(2).all(1)[:, None, None]
    values, vectors = torch.linalg.eigh(covariance.where(finite, 0.0))
    n, largest = values.shape[1], values[:, -1:].clamp_min(torch.finfo(values.dtype).tiny)
    seen = values > 10 * n * torch.finfo(values.dtype).eps * largest
    unseen = vectors * ~seen[:, None, :] @ vectors.mT
    ramp = torch.arange(n, dtype=values.dtype, device=values.device).add_(1) / (2 * n)
    settled = vectors * ((1 + values / largest) * seen)[:, None, :] @ vectors.mT + unseen * ramp @ unseen
    return torch.linalg.eigh(settled).eigenvectors.flip(2).where(finite, torch.nan)


def refreshed(covariance: Tensor, basis: Tensor) -> Tensor:
    """Turn a basis (members, n, n) towards the eigenvectors, in place, by a power iteration and QR.

    The iteration is that of covariance + ridge, a ridge of sqrt(machine epsilon) times the trace, so that directions in
    which no gradient has been stay where they are instead of following rounding.

    Returns:
        The order (members, n) that its columns took: of falling eigenvalue, as estimated before.
    """
    ridge = torch.finfo(basis.dtype).eps ** 0.5 * covariance.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    product = covariance @ basis
    order = (basis * product).sum(1).argsort(dim=1, descending=True, stable=True)
    turned = (product + ridge * basis).gather(2, order[:, None, :].expand_as(product))
    basis.copy_(torch.linalg.qr(turned).Q)
    return order
