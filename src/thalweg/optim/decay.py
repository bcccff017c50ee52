"""Weight decay by its four conventions (see `Rule`)."""

from torch import Tensor

from thalweg.optim.passes import Hyper, axpy, scale
from thalweg.optim.rule import Values


def decayed(convention: str, theta: Tensor, gradient: Tensor, h: Values) -> None:
    """Apply the decay to theta, or to the gradient, in place and before the step."""
    weight_decay = h.numbers.get("weight_decay", 0.0)
    if not isinstance(weight_decay, Tensor) and weight_decay == 0:
        return
    if convention == "l2":
        axpy(gradient, weight_decay, theta)
    else:
        scale(theta, 1 - shrinkage(convention, h))


def shrinkage(convention: str, h: Values) -> Hyper:
    """By which fraction of itself theta shrinks in a step, by a convention other than "l2"."""
    return {"lr_coupled": h.lr, "schedule_coupled": h.schedule, "constant": 1.0}[convention] * h.weight_decay
