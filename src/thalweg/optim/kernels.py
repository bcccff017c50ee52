"""Steps by torch's fused kernels, which read and write every row once: lists of rows, values that all of them share."""

import torch
from torch import Tensor

from thalweg.optim.decay import decays, shrinkage
from thalweg.optim.step_hyperparameters import StepHyperparameters

Rows = list[Tensor]
_VANISHING = 1e-150  # rates at which weight decay divided by the rate may leave the range of numbers


def sgd(
    theta: Rows, gradient: Rows, velocity: Rows, h: StepHyperparameters, *, decay: str, nesterov: bool = False
) -> None:
    """v <- beta v + g, theta <- theta - lr v (or lr (g + beta v)); without `velocity` theta <- theta - lr g."""
    coupled = _shrunk(theta, h, decay)
    if velocity and h.beta == 0:  # the kernel then wants no velocity
        torch._foreach_copy_(velocity, gradient)
        torch._foreach_add_(velocity, theta, alpha=coupled)
        torch._foreach_add_(theta, velocity, alpha=-h.lr)
        return
    torch._fused_sgd_(
        theta,
        gradient,
        velocity,
        weight_decay=coupled,
        momentum=h.beta if velocity else 0.0,
        lr=h.lr,
        dampening=0.0,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
    )


def adam(
    theta: Rows,
    gradient: Rows,
    moments: tuple[Rows, Rows],
    h: StepHyperparameters,
    *,
    decay: str,
    largest: Rows | None = None,
) -> None:
    """Adam with bias correction and eps outside the root; with `largest` AMSGrad."""
    kernel, coupled = torch._fused_adam_, h.numbers.get("weight_decay", 0.0)
    if decay != "l2" and decays(h):
        kernel, shrinks = torch._fused_adamw_, shrinkage(decay, h)
        coupled = shrinks / h.lr if h.lr > _VANISHING else 0.0  # the kernel shrinks theta by lr times this
        if not coupled:
            torch._foreach_mul_(theta, 1 - shrinks)
    numbers = {"lr": h.lr, "beta1": h.beta1, "beta2": h.beta2, "eps": h.eps, "weight_decay": coupled}
    steps, amsgrad = _steps(theta, h), largest is not None
    kernel(theta, gradient, *moments, largest or [], steps, **numbers, amsgrad=amsgrad, maximize=False)


def adagrad(theta: Rows, gradient: Rows, sums: Rows, h: StepHyperparameters, *, decay: str) -> None:
    """s <- s + g^2, theta <- theta - lr_t g / (sqrt(s) + eps)."""
    coupled = _shrunk(theta, h, decay)
    numbers = {"lr": h.lr, "lr_decay": h.rate_decay, "weight_decay": coupled, "eps": h.eps}
    torch._fused_adagrad_(theta, gradient, sums, _steps(theta, h), **numbers, maximize=False)


def _shrunk(theta: Rows, h: StepHyperparameters, decay: str) -> float:
    """Decoupled decay in place; the weight decay that is left for the kernel to add to the gradient."""
    if decay == "l2":
        return h.numbers.get("weight_decay", 0.0)
    if decays(h):
        torch._foreach_mul_(theta, 1 - shrinkage(decay, h))
    return 0.0


def _steps(theta: Rows, h: StepHyperparameters) -> Rows:
    return [torch.tensor(float(h.step), device=theta[0].device)] * len(theta)
