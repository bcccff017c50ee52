"""Adam, with L2 regularization or with decoupled weight decay (AdamW)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import check_choice
from thalweg.optim import kernels
from thalweg.optim.inplace import add_quotient, blend, blend_square, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters

EPS = ("outside", "inside", "uncorrected")


@dataclass(frozen=True)
class Adam(Rule):
    """Adam (Kingma & Ba, 2015, arXiv:1412.6980).

        m <- beta1 m + (1 - beta1) g,    m_hat = m / (1 - beta1^t)
        v <- beta2 v + (1 - beta2) g^2,  v_hat = v / (1 - beta2^t)
        theta <- theta - lr m_hat / (sqrt(v_hat) + eps)

    Weight decay is "l2" here (it goes through the moments); see `AdamW` for the decoupled one. `eps_place`
    puts eps "outside" the root (torch, optax), "inside" (sqrt(v_hat + eps): its floor is sqrt(eps)) or on
    the "uncorrected" root (the paper's efficient form: sqrt(v) + eps before its correction, which at the
    first step is up to 31.6 times weaker). Without `bias_correction` the first step is
    lr (1 - beta1)/sqrt(1 - beta2), 3.16 lr at the defaults. With eps = 0 a parameter whose gradient was always 0 is
    moved by 0/0, as in torch. Equals torch.optim.Adam(lr, (beta1, beta2), eps).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Adam(0.001)).torch
    'torch.optim.Adam(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08)'
    """

    lr: Swept = 1e-3
    beta1: Swept = 0.9
    beta2: Swept = 0.999
    eps: Swept = 1e-8
    eps_place: str = "outside"
    bias_correction: bool = True
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{type(self).__name__} eps_place", self.eps_place, EPS)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        m, v, t = state["first_moment"], state["second_moment"], h.step
        blend(m, 1 - h.beta1, gradient)
        blend_square(v, 1 - h.beta2, gradient, scratch)
        correction1 = 1 - h.beta1**t if self.bias_correction else 1.0
        correction2 = 1 - h.beta2**t if self.bias_correction else 1.0
        # With c = correction2: m_hat / (sqrt(v / c) + eps) = sqrt(c) m_hat / (sqrt(v) + sqrt(c) eps), a pass less.
        if self.eps_place == "inside":
            root = shift(scratch.copy_(v), correction2 * h.eps).sqrt_()
        else:
            eps = h.eps if self.eps_place == "uncorrected" else correction2**0.5 * h.eps
            root = shift(torch.sqrt(v, out=scratch), eps)
        add_quotient(theta, -h.lr * correction2**0.5 / correction1, m, root)

    @property
    def fused(self) -> bool:  # type: ignore[override]
        """Whether torch has a kernel for these conventions."""
        return self.eps_place == "outside" and self.bias_correction

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """One step in place."""
        kernels.adam(theta, gradient, (state["first_moment"], state["second_moment"]), h, decay=self.decay)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101).

    theta <- (1 - lr_t weight_decay) theta - lr m_hat / (sqrt(v_hat) + eps); `decay` chooses what multiplies
    weight_decay: "lr_coupled" (torch), "schedule_coupled" (the paper's) or "constant" (see `Rule`).
    Equals torch.optim.AdamW(lr, (beta1, beta2), eps, weight_decay).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.AdamW(0.001, weight_decay=0.1)).torch
    'torch.optim.AdamW(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.1)'
    """

    weight_decay: Swept = field(default=1e-2, kw_only=True)
    decay: str = field(default="lr_coupled", kw_only=True)
