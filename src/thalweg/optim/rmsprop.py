"""RMSprop."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.optim.inplace import add_quotient, blend_square, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class RMSprop(Rule):
    """v <- alpha v + (1 - alpha) g^2, theta <- theta - lr g / (sqrt(v) + eps) (Tieleman & Hinton, 2012).

    With eps_inside the denominator is sqrt(v + eps), whose floor is sqrt(eps). v starts at zero without
    bias correction, so the first step is lr / sqrt(1 - alpha). Equals torch.optim.RMSprop(lr, alpha, eps).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.RMSprop(0.01)).torch
    'torch.optim.RMSprop(params, lr=0.01, alpha=0.99, eps=1e-08)'
    """

    lr: Swept
    alpha: Swept = 0.99
    eps: Swept = 1e-8
    eps_inside: bool = False
    slots: ClassVar[tuple[str, ...]] = ("second_moment",)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        v = state["second_moment"]
        blend_square(v, 1 - h.alpha, gradient, scratch)
        root = shift(scratch.copy_(v), h.eps).sqrt_() if self.eps_inside else shift(torch.sqrt(v, out=scratch), h.eps)
        add_quotient(theta, -h.lr, gradient, root)
