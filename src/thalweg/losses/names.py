"""Losses by name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from thalweg.errors import ModelError, UsageError, check_type, unknown_name
from thalweg.losses.cross_entropy import CrossEntropy
from thalweg.losses.logistic import Logistic
from thalweg.losses.of_user import UserLoss
from thalweg.losses.per_position import PerPosition
from thalweg.losses.squared_error import SquaredError

Loss = PerPosition | UserLoss

LOSSES: dict[str, PerPosition] = {loss.kind: loss for loss in (CrossEntropy(), SquaredError(), Logistic())}


def loss_named(loss: str | PerPosition | Callable[[Any, Any], Any]) -> Loss:
    """The loss of that name, one of `losses` as it is, or the user's own function as one.

    Raises:
        UsageError: no such name.
        ModelError: a loss with parameters of its own, which nobody would train.
    """
    if isinstance(loss, PerPosition):
        return loss
    if isinstance(loss, type):
        msg = f"loss is the class {loss.__name__}; write {loss.__name__}(), or with its options."
        raise UsageError(msg)
    if isinstance(loss, nn.Module) and any(parameter.requires_grad for parameter in loss.parameters()):
        msg = (
            f"The loss {type(loss).__name__} has parameters of its own, which are not trained. Make them parameters of "
            "the model, which may return them beside its outputs, or buffers where they are constants."
        )
        raise ModelError(msg)
    if callable(loss):
        return UserLoss(getattr(loss, "__name__", type(loss).__name__), loss)
    write = "a name such as 'cross_entropy', one such as losses.CrossEntropy(), or a function (output, target)"
    check_type("Problem loss", loss, str, write)
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return LOSSES[loss]
