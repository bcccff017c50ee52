"""The share of answers that are right."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import ModelError
from thalweg.losses.options import counted, ignored_value, target_weights
from thalweg.losses.per_position import PerPosition


@dataclass(frozen=True)
class Accuracy(PerPosition):
    """The share of targets whose class has the largest output, or whose answer has the sign of its one output.

    It is the metric of problems with "cross_entropy" or "logistic" where none is given, without the targets that their
    loss ignores. Weights of classes do not weigh it.

    >>> import torch
    >>> import thalweg as tw
    >>> outputs, targets = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), torch.tensor([1, 1, -100])
    >>> tw.losses.Accuracy()(outputs, targets).tolist()
    [1.0, 0.0, 0.0]
    >>> right, counts = tw.losses.Accuracy(ignore_index=-100)(outputs, targets)
    >>> float((counts * right).sum() / counts.sum())
    0.5

    Args:
        ignore_index: a target of this value does not count; None: all do.
    """

    ignore_index: int | None = None
    kind: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "fraction"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore_index", ignored_value("Accuracy", self.ignore_index))

    @property
    def weighted(self) -> bool:
        """Whether targets differ in weight."""
        return self.ignore_index is not None

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """1 where it is right, 0 where it is wrong, in the shape of the targets."""
        if outputs.ndim == targets.ndim:  # one logit per answer, else one per answer and class
            return ((outputs > 0) == (targets > 0.5)).to(outputs.dtype)
        best = outputs.max(-1).indices  # as argmax, which takes 7 times as long where classes are not next to others
        return (best == targets).to(outputs.dtype)

    def weights(self, targets: Any, like: Tensor) -> Tensor | None:
        """0 where a target is ignored, else 1."""
        return target_weights(targets, counted(targets, self.ignore_index), None, like)

    def check_targets(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ModelError when a target that counts is no class, or of answers neither from 0 to 1 nor -1 or 1."""
        kept = counted(targets, self.ignore_index)
        some = targets if kept is None else targets[kept]
        if not some.numel():
            return
        low, high = float(some.min()), float(some.max())
        left_out = "targets that do not count are left out by losses.Accuracy(ignore_index=...)."
        if outputs.ndim == targets.ndim:
            if not 0 <= low <= high <= 1 and not bool((some.abs() == 1).all()):
                msg = (
                    "accuracy takes answers from 0 (no) to 1 (yes), or -1 and 1, but they run from "
                    f"{low:g} to {high:g}; {left_out}"
                )
                raise ModelError(msg)
        elif not 0 <= low <= high < outputs.shape[-1]:
            msg = (
                f"accuracy takes classes, and targets run from {low:g} to {high:g}, but the model returned "
                f"{outputs.shape[-1]} classes; {left_out}"
            )
            raise ModelError(msg)
