"""Sharpness-aware minimization: the gradient from the worst point nearby."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim.around import Around
from thalweg.optim.passes import displaced
from thalweg.optim.rule import Swept
from thalweg.optim.values import Values


@dataclass(frozen=True)
class SAM(Around):
    """A rule whose gradient is taken at theta + e (Foret et al., 2021, arXiv:2010.01412).

        e = rho g / |g|,    g <- gradient at theta + e,    then the rule steps from theta

    |g| is the Euclidean norm of a member's whole gradient. With `adaptive`, e = rho T^2 g / |T g| for T = |theta|
    (ASAM; Kwon et al., 2021, arXiv:2102.11600), where rho is about 40 times as large. Both gradients see the
    same batch and the same dropout; running statistics are those of the first. Masked parameters stay zero.
    On h x^2/2 under SGD it ends in x = +-lr h rho / (2 - lr h).

    Cost: two gradients a step, and one matrix of theta's size.

    Raises:
        UsageError: around a rule that takes its gradient away from theta itself.
    """

    rho: Swept = 0.05
    adaptive: bool = False
    ascends: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule.looks_ahead:
            msg = 'SAM needs a rule whose gradient is at theta; write Nesterov(look="reformulated") inside it.'
            raise UsageError(msg)

    def ascend(self, theta: Tensor, gradient: Tensor, h: Values, out: Tensor) -> None:
        """theta + e, written to `out`; the gradient (members, parameters) is consumed."""
        size = theta.abs() if self.adaptive else None
        slope = gradient if size is None else gradient.mul_(size)
        norm = torch.linalg.vector_norm(slope, dim=1, keepdim=True).clamp_min(torch.finfo(theta.dtype).tiny)
        direction = slope.div_(norm) if size is None else slope.div_(norm).mul_(size)
        displaced(theta, h.rho, direction, out)
