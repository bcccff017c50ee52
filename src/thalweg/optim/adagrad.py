"""Adagrad."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.optim import kernels
from thalweg.optim.inplace import add_quotient, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class Adagrad(Rule):
    """Adagrad (Duchi, Hazan & Singer, 2011, JMLR 12).

        s <- s + g^2,    theta <- theta - lr / (1 + (t - 1) rate_decay) g / (sqrt(s) + eps)

    s starts at `initial`. Equals torch.optim.Adagrad(lr, rate_decay, weight_decay, initial, eps).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Adagrad()).torch
    'torch.optim.Adagrad(params, lr=0.01, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10)'
    """

    lr: Swept = 1e-2
    rate_decay: Swept = 0.0
    initial: Swept = 0.0
    eps: Swept = 1e-10
    slots: ClassVar[tuple[str, ...]] = ("sum_of_squares",)
    fused: ClassVar[bool] = True

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        s = state["sum_of_squares"]
        if h.step == 1:
            shift(s.zero_(), h.initial)
        s.addcmul_(gradient, gradient)
        root = shift(torch.sqrt(s, out=scratch), h.eps)
        add_quotient(theta, -h.lr / (1 + (h.step - 1) * h.rate_decay), gradient, root)

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """One step in place."""
        if h.step == 1:
            for row in state["sum_of_squares"]:
                row.fill_(h.initial)
        kernels.adagrad(theta, gradient, state["sum_of_squares"], h, decay=self.decay)
