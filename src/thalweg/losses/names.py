"""Losses and metrics by name."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from thalweg.errors import ModelError, UsageError, check_type, unknown_name
from thalweg.losses.accuracy import Accuracy
from thalweg.losses.cross_entropy import CrossEntropy
from thalweg.losses.logistic import Logistic
from thalweg.losses.of_user import UserLoss
from thalweg.losses.per_position import NamedLoss, PerPosition
from thalweg.losses.squared_error import SquaredError

Loss = NamedLoss | UserLoss
Metric = PerPosition | UserLoss

LOSSES: dict[str, NamedLoss] = {loss.kind: loss for loss in (CrossEntropy(), SquaredError(), Logistic())}
_WEIGHT = " weight"


def loss_named(loss: str | NamedLoss | Callable[[Any, Any], Any]) -> Loss:
    """The loss of that name, one of `losses` as it is, or the user's own function as one.

    Raises:
        UsageError: no such name, a class, or a metric that has no gradient.
        ModelError: a loss with parameters of its own, which nobody would train.
    """
    if isinstance(loss, NamedLoss):
        return loss
    if isinstance(loss, Accuracy) or loss is Accuracy:
        msg = (
            "Accuracy has no gradient, so it cannot be the loss; write loss='cross_entropy' or 'logistic', and "
            "metrics={'accuracy': losses.Accuracy()}."
        )
        raise UsageError(msg)
    _check_made("loss", loss)
    if isinstance(loss, nn.Module) and any(parameter.requires_grad for parameter in loss.parameters()):
        msg = (
            f"The loss {type(loss).__name__} has parameters of its own, which are not trained. Make them parameters of "
            "the model, which may return them beside its outputs, or constants by requires_grad_(False)."
        )
        raise ModelError(msg)
    if callable(loss):
        return UserLoss(getattr(loss, "__name__", type(loss).__name__), loss)
    write = "a name such as 'cross_entropy', one such as losses.CrossEntropy(), or a function (output, target)"
    check_type("Problem loss", loss, str, write)
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return LOSSES[loss]


def metrics_named(metrics: Mapping[str, Callable[[Any, Any], Any]]) -> tuple[UserLoss, ...]:
    """The user's own metrics.

    Raises:
        UsageError: no functions by name, or names that stand for something else: "loss", and the name of the loss or
            of another metric with " weight" behind it.
    """
    check_type("Problem metrics", metrics, Mapping, "functions (output, target) by name, such as {'error': error}")
    if "loss" in metrics:
        msg = "A metric may not be named 'loss', which is the loss's own name; give it another."
        raise UsageError(msg)
    for name, function in metrics.items():
        check_type("A metric's name", name, str, "a string such as 'error'")
        if name.endswith(_WEIGHT) and name.removesuffix(_WEIGHT) in ("loss", *metrics):
            msg = (
                f"A metric may not be named {name!r}, which is what the weights of {name.removesuffix(_WEIGHT)!r} are "
                "called; give it another."
            )
            raise UsageError(msg)
        _check_made(f"The metric {name!r}", function)
        if not callable(function):
            msg = f"The metric {name!r} must be a function (output, target); got a {type(function).__name__}."
            raise UsageError(msg)
    return tuple(UserLoss(name, function, kind="metric") for name, function in metrics.items())


def weight_of(name: str) -> str:
    """What the weights of the loss or a metric are called in tables."""
    return name + _WEIGHT


def _check_made(what: str, function: object) -> None:
    if isinstance(function, type):
        msg = f"{what} is the class {function.__name__}; write {function.__name__}(), or with its options."
        raise UsageError(msg)
