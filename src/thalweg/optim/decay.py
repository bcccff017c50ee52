"""Weight decay by its four conventions (see `Rule`)."""

from torch import Tensor

from thalweg.optim.passes import Hyper, axpy, scale
from thalweg.optim.rule import Values


def decayed(convention: str, theta: Tensor, gradient: Tensor, h: Values, where: Tensor | None = None) -> None:
    """Apply the decay to theta, or to the gradient, in place and before the step.

    Args:
        convention: one of the four.
        theta, gradient: (members, parameters).
        h: the step's values.
        where: 1 for the parameters that decay and 0 for others, (parameters,); None: all do.
    """
    weight_decay = h.numbers.get("weight_decay", 0.0)
    if not isinstance(weight_decay, Tensor) and weight_decay == 0:
        return
    if convention == "l2":
        axpy(gradient, weight_decay, theta if where is None else theta * where)
    elif where is None:
        scale(theta, 1 - shrinkage(convention, h))
    else:
        axpy(theta, -shrinkage(convention, h), theta * where)


def shrinkage(convention: str, h: Values) -> Hyper:
    """By which fraction of itself theta shrinks in a step, by a convention other than "l2"."""
    return {"lr_coupled": h.lr, "schedule_coupled": h.schedule, "constant": 1.0}[convention] * h.weight_decay
