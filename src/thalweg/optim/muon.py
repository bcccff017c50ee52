"""Muon: momentum whose matrices are made orthogonal."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import check_choice
from thalweg.optim.adam import AdamW
from thalweg.optim.inplace import axpy, blend
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population.layout import Entry

SCALES = ("spectral", "rms")
QUINTIC = (3.4445, -4.7750, 2.0315)  # maps singular values in [0.01, 1] into [0.68, 1.14] in five steps
ITERATIONS = 5
LEAST_NORM = 1e-7  # torch's: matrices of a much smaller norm are mostly rounding, and become smaller steps


def orthogonalized(matrices: Tensor) -> Tensor:
    """About U V^T for every matrix U S V^T of a stack (..., rows, columns), by Newton-Schulz iterations.

        X <- X / |X|_F,    then five times    X <- a X + (b A + c A^2) X  with  A = X X^T

    Singular values of at least |X|_F/100 end between 0.68 and 1.14, not at 1, as in Jordan et al. (2024, Muon);
    smaller ones end below. |X|_F counts as 1e-7 at least, so a matrix that vanishes gives a vanishing one.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(LEAST_NORM)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


@dataclass(frozen=True)
class Muon(MatrixRule):
    """Steps along the orthogonal factor of the momentum of every hidden matrix (Jordan et al., 2024).

        m <- beta m + (1 - beta) g,    u = (1 - beta) g + beta m (or m without `nesterov`)
        theta <- theta - lr s orthogonalized(u)

    for tensors of kind "hidden", convolutions as (filters, rest); s = sqrt(max(1, rows/columns)) with scale =
    "spectral", or 0.2 sqrt(max(rows, columns)) with "rms" (Liu et al., 2025, arXiv:2502.16982), which has the
    size of an AdamW step. Rows are outputs, as torch keeps them. All other tensors (embeddings, the output
    layer, biases, norms) follow `fallback`, whose hyper-parameters are called fallback.lr and so on; the
    schedule goes for both rates. Numbers are those of torch.optim.Muon with adjust_lr_fn "original" and
    "match_rms_adamw", which iterates in bfloat16, where this iterates in theta's precision.

    Cost: 15 products of matrices per step (each with its transpose, the square of that, their sum with it), batched
    over members.

    >>> import thalweg as tw
    >>> rule = tw.optim.Muon(0.02, fallback=tw.optim.AdamW(1e-3))
    >>> rule.slots
    ('matrix_momentum', 'first_moment', 'second_moment')
    >>> rule.hyper_parameters()["fallback.lr"]
    0.001
    """

    lr: Swept = 0.02
    beta: Swept = 0.95
    nesterov: bool = True
    scale: str = "spectral"
    fallback: Rule = field(default_factory=lambda: AdamW(3e-4))  # type: ignore[misc]
    weight_decay: Swept = field(default=0.0, kw_only=True)
    decay: str = field(default="lr_coupled", kw_only=True)
    matrix_slots: ClassVar[tuple[str, ...]] = ("matrix_momentum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Muon scale", self.scale, SCALES)

    def takes(self, entry: Entry) -> bool:
        """Whether it is a hidden matrix."""
        return entry.kind == "hidden" and entry.filters is not None

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters) -> None:
        """One step in place of one tensor, (members, rows, columns)."""
        momentum = state["matrix_momentum"]
        blend(momentum, 1 - h.beta, gradient)
        direction = blend(gradient, h.beta, momentum) if self.nesterov else momentum
        rows, columns = theta.shape[1:]
        size = max(1.0, rows / columns) ** 0.5 if self.scale == "spectral" else 0.2 * max(rows, columns) ** 0.5
        axpy(theta, -h.lr * size, orthogonalized(direction))
