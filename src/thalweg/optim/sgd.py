"""Stochastic gradient descent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thalweg.optim import kernels
from thalweg.optim.inplace import axpy
from thalweg.optim.rule import Rule, State
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class SGD(Rule):
    """theta <- theta - lr g (Robbins & Monro, 1951, doi:10.1214/aoms/1177729586).

    Equals torch.optim.SGD(lr, weight_decay=weight_decay).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.SGD(0.1)).torch
    'torch.optim.SGD(params, lr=0.1)'
    """

    fused: ClassVar[bool] = True

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        axpy(theta, -h.lr, gradient)

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """One step in place."""
        kernels.sgd(theta, gradient, [], h, decay=self.decay)
