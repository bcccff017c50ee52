"""AMSGrad: Adam whose second moment never falls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import check_choice
from thalweg.optim import kernels
from thalweg.optim.inplace import add_quotient, blend, blend_square, scale, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters

LARGEST = ("uncorrected", "corrected")


@dataclass(frozen=True)
class AMSGrad(Rule):
    """AMSGrad (Reddi, Kale & Kumar, 2018, arXiv:1904.09237).

        m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,    w <- max(w, v)
        theta <- theta - lr m_hat / (sqrt(w_hat) + eps)

    with hats as in Adam. `largest_of` says of what the maximum is taken: of the "uncorrected" v, corrected
    afterwards (torch.optim.Adam(amsgrad=True)), or of the "corrected" v_hat (optax.amsgrad).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.AMSGrad(0.001)).torch
    'torch.optim.Adam(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, amsgrad=True)'
    """

    lr: Swept = 1e-3
    beta1: Swept = 0.9
    beta2: Swept = 0.999
    eps: Swept = 1e-8
    largest_of: str = "uncorrected"
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment", "largest")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("AMSGrad largest_of", self.largest_of, LARGEST)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        m, v, w, t = state["first_moment"], state["second_moment"], state["largest"], h.step
        blend(m, 1 - h.beta1, gradient)
        blend_square(v, 1 - h.beta2, gradient, scratch)
        correction = 1 - h.beta2**t
        if self.largest_of == "corrected":
            torch.maximum(w, scale(scratch.copy_(v), 1 / correction), out=w)
            root = torch.sqrt(w, out=scratch)
        else:
            torch.maximum(w, v, out=w)
            root = scale(torch.sqrt(w, out=scratch), correction**-0.5)
        add_quotient(theta, -h.lr / (1 - h.beta1**t), m, shift(root, h.eps))

    @property
    def fused(self) -> bool:  # type: ignore[override]
        """Whether torch has a kernel for these conventions."""
        return self.largest_of == "uncorrected"

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """One step in place."""
        moments = state["first_moment"], state["second_moment"]
        kernels.adam(theta, gradient, moments, h, decay=self.decay, largest=state["largest"])
