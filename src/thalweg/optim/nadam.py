"""NAdam: Adam with Nesterov's momentum."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.optim.inplace import Hyper, axpy, blend, blend_square, scale, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class NAdam(Rule):
    """NAdam (Dozat, 2016, Incorporating Nesterov momentum into Adam).

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),    P_t = mu_1 mu_2 ... mu_t
        theta <- theta - lr ((1 - mu_t) g / (1 - P_t) + mu_{t+1} m / (1 - P_{t+1})) / (sqrt(v_hat) + eps)

    with m, v and v_hat as in Adam. Equals torch.optim.NAdam(lr, (beta1, beta2), eps, weight_decay,
    momentum_decay); torch's own default rate is 2e-3.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.NAdam()).torch
    'torch.optim.NAdam(params, lr=0.002, betas=(0.9, 0.999), eps=1e-08, momentum_decay=0.004)'
    """

    lr: Swept = 2e-3
    beta1: Swept = 0.9
    beta2: Swept = 0.999
    eps: Swept = 1e-8
    momentum_decay: Swept = 4e-3
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    tallies: ClassVar[tuple[str, ...]] = ("correction",)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        m, v, t = state["first_moment"], state["second_moment"], h.step
        blend(m, 1 - h.beta1, gradient)
        blend_square(v, 1 - h.beta2, gradient, scratch)
        now, coming = momentum_at(h, t), momentum_at(h, t + 1)
        product = (1 - state["correction"]) * now
        root = shift(scale(torch.sqrt(v, out=scratch), (1 - h.beta2**t) ** -0.5), h.eps)
        scale(gradient, (1 - now) / (1 - product))
        axpy(gradient, coming / (1 - product * coming), m)
        axpy(theta, -h.lr, gradient.div_(root))

    def advance(self, state: State, h: StepHyperparameters) -> None:
        """From 1 - P_{t-1} to 1 - P_t."""
        correction = state["correction"]
        correction.copy_(1 - (1 - correction) * momentum_at(h, h.step))


def momentum_at(h: StepHyperparameters, t: int) -> Hyper:
    """mu_t, by the beta1 of this step."""
    return h.beta1 * (1 - 0.5 * 0.96 ** (t * h.momentum_decay))
