"""Losses and metrics: functions of outputs and targets, example by example."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError, check_type, unknown_name

Lead = int  # leading dimensions of outputs: 1 is (batch, ...), 2 is (members, batch, ...)


@dataclass(frozen=True)
class PerExample:
    """A function of outputs and targets with one value per example.

    Args:
        name: for tables and figures.
        function: maps outputs (lead..., ...) and targets to values (lead...), for lead = (batch,) and
            (members, batch) alike.
        unit: of its values.
    """

    name: str
    function: Callable[[Any, Any, Lead], Tensor]
    unit: str = ""

    def examples(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """One value per example: (batch,) or (members, batch)."""
        return self.function(outputs, targets, lead)

    def mean(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """The mean over the batch: a scalar or (members,)."""
        return self.function(outputs, targets, lead).mean(-1)


@dataclass(frozen=True)
class UserLoss:
    """A loss of the user's own: `function(output, target)`, either a mean over the batch or one value per example.

    Where vmap cannot hold it, it is called member by member, and a mean example by example where each is asked for.
    """

    name: str
    function: Callable[[Any, Any], Tensor]
    unit: str = ""

    def examples(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """One value per example; a loss that returns a mean is called on batches of one."""
        if lead == 2:
            return _mapped(self.examples, outputs, targets)
        values = self.function(outputs, targets)
        if values.ndim:
            return values.flatten(1).double().mean(1) if values.ndim > 1 else values
        single = lambda tree: tree_map(lambda tensor: tensor.unsqueeze(1), tree)  # noqa: E731
        return _mapped(self.function, single(outputs), single(targets))

    def mean(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """The mean over the batch: a scalar or (members,)."""
        if lead == 2:
            return _mapped(self.mean, outputs, targets)
        return self.function(outputs, targets).mean()

    def check_mean(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError when the loss of a batch is not the mean of the losses of its examples.

        Then the value that is evaluated would not be the objective that is trained.
        """
        before = torch.get_rng_state()
        whole = self.function(outputs, targets)
        if not isinstance(whole, Tensor):
            msg = f"The loss {self.name!r} returned {type(whole).__name__}; it must return a tensor."
            raise ModelError(msg)
        count = len(tree_leaves(targets)[0])
        if whole.ndim and len(whole) != count:
            msg = (
                f"The loss {self.name!r} returned shape {tuple(whole.shape)} for {count} examples; return a mean over "
                f"the batch (a scalar), or one value per example: shape ({count}, ...)."
            )
            raise ModelError(msg)
        if not torch.equal(before, torch.get_rng_state()):
            return  # it draws random numbers, and draws others for each example
        one = lambda tree, i: tree_map(lambda tensor: tensor[i : i + 1], tree)  # noqa: E731
        singles = torch.stack([self.function(one(outputs, i), one(targets, i)).mean() for i in range(count)])
        got, expected = float(whole.mean()), float(singles.mean())
        if math.isclose(got, expected, rel_tol=1e-3, abs_tol=1e-6):
            return
        if math.isclose(got, count * expected, rel_tol=1e-3, abs_tol=1e-6):
            msg = (
                f"The loss {self.name!r} is not a mean over the batch but a sum: {got:.6g} for {count} examples whose "
                f"mean is {expected:.6g}. Divide by the batch size, or return one value per example."
            )
            raise ModelError(msg)
        msg = (
            f"The loss {self.name!r} of a batch is not the mean of the losses of its examples: {got:.6g} against "
            f"{expected:.6g}. Either outputs and targets broadcast against each other (give them one shape), or "
            "examples are weighted (class weights, ignore_index: return one value per example)."
        )
        raise ModelError(msg)


Loss = PerExample | UserLoss


def _mapped(function: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
    """The function on each entry of the first dimension: by one call where vmap can, else one by one, as written."""
    try:
        return torch.vmap(function, randomness="different")(outputs, targets)
    except Exception as error:  # such as branches on values, and boolean indices; what is wrong shows below as well
        if isinstance(error, torch.OutOfMemoryError):
            raise
    one = lambda tree, i: tree_map(lambda tensor: tensor[i], tree)  # noqa: E731
    count = len(tree_leaves(targets)[0])
    return torch.stack([function(one(outputs, i), one(targets, i)) for i in range(count)])


_VECTOR = 16  # numbers that a core takes at once


def _rest(values: Tensor, lead: Lead) -> Tensor:
    """Mean over what follows the leading dimensions (positions of a sequence, pixels)."""
    return values.flatten(lead).mean(-1) if values.ndim > lead else values


def _cross_entropy(outputs: Tensor, targets: Tensor, lead: Lead) -> Tensor:
    table = outputs.reshape(-1, *outputs.shape[-2:])
    if outputs.shape[-1] < _VECTOR or table.stride(-1) != 1:
        # Torch takes few classes in a row one by one; examples in a row in their place fill whole vectors (measured on
        # 8,192 examples of 10 classes: 5 to 9 times less time with the gradient).
        values = F.cross_entropy(table.mT, targets.reshape(table.shape[:2]), reduction="none")
    else:
        values = F.cross_entropy(table.flatten(0, 1), targets.reshape(-1), reduction="none")
    return _rest(values.view(targets.shape), lead)


def _squared_error(outputs: Tensor, targets: Tensor, lead: Lead) -> Tensor:
    return _rest((outputs - targets) ** 2, lead)


def _logistic(outputs: Tensor, targets: Tensor, lead: Lead) -> Tensor:
    return _rest(F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none"), lead)


def _accuracy(outputs: Tensor, targets: Tensor, lead: Lead) -> Tensor:
    if outputs.ndim == targets.ndim:  # one logit per answer, else one per answer and class
        return _rest(((outputs > 0) == (targets > 0.5)).to(outputs.dtype), lead)
    best = outputs.max(-1).indices  # as argmax, which takes 7 times as long where classes are not next to each other
    return _rest((best == targets).to(outputs.dtype), lead)


LOSSES = {
    "cross_entropy": PerExample("cross_entropy", _cross_entropy, "nats"),
    "squared_error": PerExample("squared_error", _squared_error),
    "logistic": PerExample("logistic", _logistic, "nats"),
}
METRICS = {"accuracy": PerExample("accuracy", _accuracy, "fraction")}


def loss_named(loss: str | Callable[[Any, Any], Tensor]) -> Loss:
    """The loss of that name, or the user's own function as one."""
    if callable(loss):
        return UserLoss(getattr(loss, "__name__", type(loss).__name__), loss)
    check_type("Problem loss", loss, str, "a name such as 'cross_entropy', or a function (output, target)")
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return LOSSES[loss]


def check_shapes(loss: Loss, outputs: Any, targets: Any) -> None:
    """Raise ModelError with both shapes when a named loss cannot take these outputs and targets."""
    if not isinstance(loss, PerExample):
        return
    if not isinstance(outputs, Tensor):
        msg = (
            f"The loss {loss.name!r} takes one tensor, but the model returned {type(outputs).__name__}; "
            "pass loss=lambda output, target: ... that picks what it needs."
        )
        raise ModelError(msg)
    got, wanted = tuple(outputs.shape), tuple(targets.shape)
    if loss.name == "cross_entropy":
        if got[:-1] != wanted or targets.is_floating_point():
            msg = (
                f"cross_entropy takes outputs (batch, ..., classes) and integer targets (batch, ...); "
                f"the model returned {got} for targets {wanted} of {targets.dtype}."
            )
            raise ModelError(msg)
    elif got != wanted:
        msg = f"{loss.name} takes outputs and targets of one shape; the model returned {got} for targets {wanted}."
        if got == (*wanted, 1) and not targets.is_floating_point():
            msg += " Integer targets (n, 1) are read as classes (n,); pass targets.float() to keep them."
        raise ModelError(msg)


def check_classes(targets: Tensor, classes: int) -> None:
    """Raise ModelError when a target is none of the classes 0 to classes - 1."""
    low, high = int(targets.min()), int(targets.max())
    if not 0 <= low <= high < classes:
        msg = f"Targets run from {low} to {high}, but the model returned {classes} classes."
        raise ModelError(msg)
