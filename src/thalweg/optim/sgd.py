"""Stochastic gradient descent."""

from dataclasses import dataclass

from torch import Tensor

from thalweg.optim.passes import axpy
from thalweg.optim.rule import Rule, State
from thalweg.optim.values import Values


@dataclass(frozen=True)
class SGD(Rule):
    """theta <- theta - lr g (Robbins & Monro, 1951, doi:10.1214/aoms/1177729586).

    Equals torch.optim.SGD(lr, weight_decay=weight_decay).
    """

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: Values, scratch: Tensor) -> None:
        """One step in place."""
        axpy(theta, -h.lr, gradient)
