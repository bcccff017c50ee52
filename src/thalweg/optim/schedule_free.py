"""Schedule-Free: an average of the path in place of a schedule."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.optim.decay import decays, shrinkage
from thalweg.optim.inplace import Hyper, axpy, blend_square, displaced, scale, shift
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters


@dataclass(frozen=True)
class ScheduleFreeSGD(Rule):
    """SGD at z, its gradient between z and the average x (Defazio et al., 2024, arXiv:2405.15682, algorithm 1).

        y = (1 - beta) z + beta x
        z <- z - lr_t g(y)
        x <- (1 - c) x + c z,    c = lr_t^2 / (lr_1^2 + ... + lr_t^2)

    theta is x, which is what one evaluates, so there is no mode to forget; the gradient is taken at y. It needs
    no falling schedule, but a warmup may be given as one. Decay shrinks z by lr_t weight_decay y. Kept are
    z - x and the sum of squared rates. Equals schedulefree.SGDScheduleFree's x, while the rate does not fall.

    >>> import thalweg as tw
    >>> rule = tw.optim.ScheduleFreeSGD(0.5)
    >>> rule.slots, rule.tallies, rule.looks_ahead
    (('lead',), ('squared_rates',), True)
    """

    lr: Swept = 1.0
    beta: Swept = 0.9
    weight_decay: Swept = field(default=0.0, kw_only=True)
    decay: str = field(default="lr_coupled", kw_only=True)
    slots: ClassVar[tuple[str, ...]] = ("lead",)
    tallies: ClassVar[tuple[str, ...]] = ("squared_rates",)
    looks_ahead: ClassVar[bool] = True

    def look_ahead(self, theta: Tensor, state: State, h: StepHyperparameters, out: Tensor) -> None:
        """y = x + (1 - beta) (z - x)."""
        displaced(theta, 1 - h.beta, state["lead"], out)

    def decayed(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, where: Tensor | None
    ) -> None:
        """z <- z - shrinkage y, or for "l2" g <- g + weight_decay y."""
        if not decays(h):
            return
        y = displaced(theta, 1 - h.beta, state["lead"], torch.empty_like(theta))
        y = y if where is None else y.mul_(where)
        if self.decay == "l2":
            axpy(gradient, h.weight_decay, y)
        else:
            axpy(state["lead"], -shrinkage(self.decay, h), y)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        self.follow(theta, gradient, state, h)

    def follow(self, theta: Tensor, direction: Tensor, state: State, h: StepHyperparameters) -> None:
        """Move z by -lr times the direction, and x towards it."""
        lead, c = axpy(state["lead"], -h.lr, direction), self.share(state, h)
        axpy(theta, c, lead)
        scale(lead, 1 - c)

    def share(self, state: State, h: StepHyperparameters) -> Hyper:
        """c, 0 as long as every rate was 0."""
        square = torch.as_tensor(h.lr, dtype=torch.float64) ** 2
        return torch.nan_to_num(square / (state["squared_rates"] + square))

    def advance(self, state: State, h: StepHyperparameters) -> None:
        """Take this step's rate into the sum of squared rates."""
        state["squared_rates"].add_(torch.as_tensor(h.lr, dtype=torch.float64) ** 2)


@dataclass(frozen=True)
class ScheduleFreeAdamW(ScheduleFreeSGD):
    """The same with Adam's second moment in place of its momentum (Defazio et al., 2024, arXiv:2405.15682).

        v <- beta2 v + (1 - beta2) g^2,    z <- z - lr_t (g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay y)

    Equals schedulefree.AdamWScheduleFree's x, while the rate does not fall.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.ScheduleFreeAdamW()).remark
    'Torch has no Schedule-Free; schedulefree.AdamWScheduleFree has the same average.'
    """

    lr: Swept = 2.5e-3
    beta2: Swept = 0.999
    eps: Swept = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("lead", "second_moment")

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        v = blend_square(state["second_moment"], 1 - h.beta2, gradient, scratch)
        root = scale(torch.sqrt(v, out=scratch), (1 - h.beta2**h.step) ** -0.5)
        self.follow(theta, gradient.div_(shift(root, h.eps)), state, h)
