"""The cross-entropy of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg.errors import ModelError, UsageError, check_type
from thalweg.losses.options import class_table, counted, ignored_value, named_options, target_weights
from thalweg.losses.per_position import NamedLoss

_VECTOR = 16  # numbers that a core takes at once
_NEVER = torch.iinfo(torch.int64).min  # as ignore_index: no target at all


@dataclass(frozen=True)
class CrossEntropy(NamedLoss):
    """-log softmax(outputs)[target], in nats, of classes in the last dimension of the outputs.

        objective = sum(w l) / sum(w),    w = class_weights[target], and 0 where the target is ignore_index

    over what it is taken on: the batch of a training step, the whole sample everywhere else. That is
    `torch.nn.functional.cross_entropy(weight=class_weights, ignore_index=ignore_index)` of all of it at once. Without
    options it is what the name "cross_entropy" stands for. Accuracy leaves ignored targets out too, and class weights
    do not weigh it.

    >>> import torch
    >>> import thalweg as tw
    >>> x, y = torch.eye(4), torch.tensor([0, 1, 2, -100])
    >>> loss = tw.losses.CrossEntropy(class_weights=[1.0, 1.0, 8.0], ignore_index=-100)
    >>> problem = tw.Problem(lambda: torch.nn.Linear(4, 3), (x, y), loss)
    >>> members = problem.initialize(1)
    >>> torch_loss = torch.nn.functional.cross_entropy(members.module(0)(x), y, torch.tensor([1.0, 1.0, 8.0]))
    >>> bool((tw.evaluate(problem, members)["loss"] - torch_loss).abs() < 1e-6)
    True

    Args:
        class_weights: one for each class, at least 0; None is 1 each.
        ignore_index: a target of this value does not count; None: every target is a class.
        label_smoothing: the share of every target that is spread over all classes, from 0 up to 1.

    Raises:
        UsageError: options that cannot be meant. `label_smoothing` takes no class weights beside it: torch weighs the
            share that is spread by the classes it is spread over, which no weight of an example is.
    """

    class_weights: Sequence[float] | Tensor | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    kind: ClassVar[str] = "cross_entropy"
    unit: ClassVar[str] = "nats"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore_index", ignored_value("CrossEntropy", self.ignore_index))
        object.__setattr__(self, "class_weights", class_table("CrossEntropy", self.class_weights))
        check_type("CrossEntropy label_smoothing", self.label_smoothing, (int, float), "a share such as 0.1")
        if not 0 <= self.label_smoothing < 1:
            msg = f"CrossEntropy label_smoothing must be at least 0 and below 1; got {self.label_smoothing}."
            raise UsageError(msg)
        if self.label_smoothing and self.class_weights is not None:
            msg = (
                "CrossEntropy takes label_smoothing or class_weights, not both; pass a function of (output, target) "
                "that returns (values, weights) as you mean them."
            )
            raise UsageError(msg)

    @property
    def weighted(self) -> bool:
        """Whether targets differ in weight."""
        return self.ignore_index is not None or self.class_weights is not None

    @property
    def name(self) -> str:
        """With the options that are given."""
        smoothing = self.label_smoothing or None
        return named_options(
            self.kind, class_weights=self.class_weights, ignore_index=self.ignore_index, label_smoothing=smoothing
        )

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """-log softmax, in the shape of the targets; 0 where a target is ignored."""
        table = outputs.reshape(-1, *outputs.shape[-2:])
        options = {
            "reduction": "none",
            "ignore_index": _NEVER if self.ignore_index is None else self.ignore_index,
            "label_smoothing": self.label_smoothing,
        }
        if outputs.shape[-1] < _VECTOR or table.stride(-1) != 1:
            # Torch takes few classes in a row one by one; examples in a row in their place fill whole vectors (measured
            # on 8,192 examples of 10 classes: 5 to 9 times less time with the gradient).
            values = F.cross_entropy(table.mT, targets.reshape(table.shape[:2]), **options)
        else:
            values = F.cross_entropy(table.flatten(0, 1), targets.reshape(-1), **options)
        return values.view(targets.shape)

    def weights(self, targets: Any, like: Tensor) -> Tensor | None:
        """By class, and 0 where a target is ignored."""
        return target_weights(targets, counted(targets, self.ignore_index), self.class_weights, like)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError unless outputs are (batch, ..., classes) for integer targets (batch, ...)."""
        if not isinstance(outputs, Tensor):
            super().check(outputs, targets)
        got, wanted = tuple(outputs.shape), tuple(targets.shape)
        if got[:-1] != wanted or targets.is_floating_point():
            second = got[:1] + got[2:] == wanted and not targets.is_floating_point()
            remedy = "; classes that are the second dimension are for loss=torch.nn.functional.cross_entropy"
            msg = (
                f"cross_entropy takes outputs (batch, ..., classes) and integer targets (batch, ...); "
                f"the model returned {got} for targets {wanted} of {targets.dtype}{remedy if second else ''}."
            )
            raise ModelError(msg)
        if self.class_weights is not None and len(self.class_weights) != got[-1]:
            msg = (
                f"CrossEntropy has {len(self.class_weights)} class_weights, but the model returned {got[-1]} classes; "
                "give one for each."
            )
            raise ModelError(msg)

    def check_targets(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ModelError when a target that counts is none of the classes 0 to classes - 1."""
        kept = counted(targets, self.ignore_index)
        some = targets if kept is None else targets[kept]
        classes = outputs.shape[-1]
        low, high = (int(some.min()), int(some.max())) if some.numel() else (0, 0)
        if not 0 <= low <= high < classes:
            msg = f"Targets run from {low} to {high}, but the model returned {classes} classes."
            if low < 0 and self.ignore_index is None:
                msg += f" Targets that do not count are left out by loss=losses.CrossEntropy(ignore_index={low})."
            raise ModelError(msg)
