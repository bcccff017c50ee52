"""Weight decay by its four conventions (see `Rule`)."""

from torch import Tensor

from thalweg.optim.inplace import Hyper, axpy, scale
from thalweg.optim.step_hyperparameters import StepHyperparameters


def decayed(
    convention: str, theta: Tensor, gradient: Tensor, h: StepHyperparameters, where: Tensor | None = None
) -> None:
    """Apply the decay to theta, or to the gradient, in place and before the step (see `Rule.decayed`)."""
    if not decays(h):
        return
    if convention == "l2":
        axpy(gradient, h.weight_decay, theta if where is None else theta * where)
    elif where is None:
        scale(theta, 1 - shrinkage(convention, h))
    else:
        axpy(theta, -shrinkage(convention, h), theta * where)


def decays(h: StepHyperparameters) -> bool:
    """Whether any member has weight decay."""
    weight_decay = h.numbers.get("weight_decay", 0.0)
    return isinstance(weight_decay, Tensor) or weight_decay != 0


def shrinkage(convention: str, h: StepHyperparameters) -> Hyper:
    """By which fraction of itself theta shrinks in a step, by a convention other than "l2"."""
    return {"lr_coupled": h.lr, "schedule_coupled": h.schedule, "constant": 1.0}[convention] * h.weight_decay
