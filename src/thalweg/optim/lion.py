"""Lion: the sign of a momentum."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.optim.inplace import axpy, blend
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class Lion(Rule):
    """Lion (Chen et al., 2023, arXiv:2302.06675).

        theta <- theta - lr sign(beta1 m + (1 - beta1) g),    m <- beta2 m + (1 - beta2) g

    Every parameter moves by lr (or not at all, where the sign is 0), so rates are 3 to 10 times smaller and
    decays as much larger than AdamW's. Equals optax.lion(lr, beta1, beta2, weight_decay).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Lion()).formula
    ('theta <- theta - lr sign(beta1 m + (1 - beta1) g),    m <- beta2 m + (1 - beta2) g',)
    """

    lr: Swept = 1e-4
    beta1: Swept = 0.9
    beta2: Swept = 0.99
    decay: str = field(default="lr_coupled", kw_only=True)
    slots: ClassVar[tuple[str, ...]] = ("momentum",)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        m = state["momentum"]
        direction = blend(scratch.copy_(m), 1 - h.beta1, gradient)
        axpy(theta, -h.lr, torch.sign(direction, out=direction))
        blend(m, 1 - h.beta2, gradient)
