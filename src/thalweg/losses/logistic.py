"""The logistic loss of answers that are yes or no."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from thalweg.errors import ModelError, UsageError
from thalweg.losses.options import class_table, counted, ignored_value, named_options, target_weights
from thalweg.losses.per_position import NamedLoss


@dataclass(frozen=True)
class Logistic(NamedLoss):
    """-target log sigmoid(output) - (1 - target) log sigmoid(-output), in nats, of one output for every target.

        objective = sum(w l) / sum(w),    w = class_weights[target], and 0 where the target is ignore_index

    over what it is taken on, as of `CrossEntropy`. Without options it is what the name "logistic" stands for; several
    targets an example are several answers, each with a weight of its own.

    >>> import torch
    >>> import thalweg as tw
    >>> x, y = torch.eye(4), torch.tensor([[0, 1], [1, -1], [0, 0], [-1, -1]])
    >>> problem = tw.Problem(lambda: torch.nn.Linear(4, 2), (x, y), tw.losses.Logistic(ignore_index=-1))
    >>> zero = problem.initialize(1).with_theta(torch.zeros(1, 10))
    >>> tw.evaluate(problem, zero)["loss"].tolist()  # log 2; accuracy is of the five that count
    [0.6931471824645996]
    >>> tw.evaluate(problem, zero)["accuracy"].tolist()
    [0.6]

    Args:
        class_weights: of targets 0 and of targets 1, which are then all there are; None is 1 each.
        ignore_index: a target of this value does not count; None: all do.

    Raises:
        UsageError: options that cannot be meant.
    """

    class_weights: Sequence[float] | Tensor | None = None
    ignore_index: int | None = None
    kind: ClassVar[str] = "logistic"
    unit: ClassVar[str] = "nats"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore_index", ignored_value("Logistic", self.ignore_index))
        object.__setattr__(self, "class_weights", class_table("Logistic", self.class_weights))
        if self.class_weights is not None and len(self.class_weights) != 2:
            msg = f"Logistic class_weights are two, of targets 0 and of targets 1; got {len(self.class_weights)}."
            raise UsageError(msg)

    @property
    def weighted(self) -> bool:
        """Whether targets differ in weight."""
        return self.ignore_index is not None or self.class_weights is not None

    @property
    def name(self) -> str:
        """With the options that are given."""
        return named_options(self.kind, class_weights=self.class_weights, ignore_index=self.ignore_index)

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """In the shape of the targets."""
        return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")

    def weights(self, targets: Any, like: Tensor) -> Tensor | None:
        """By the answer, and 0 where a target is ignored."""
        kept = counted(targets, self.ignore_index)
        return target_weights((targets > 0.5).long(), kept, self.class_weights, like)

    def check_targets(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ModelError when a target that counts is not from 0 to 1, or with class weights neither 0 nor 1."""
        kept = counted(targets, self.ignore_index)
        some = targets if kept is None else targets[kept]
        if not some.numel():
            return
        low, high = float(some.min()), float(some.max())
        if not 0 <= low <= high <= 1:
            msg = (
                f"logistic takes targets from 0 (no) to 1 (yes), but they run from {low:g} to {high:g}. Write 0 and 1 "
                "for the two answers; targets that do not count are left out by loss=losses.Logistic(ignore_index=...)."
            )
            raise ModelError(msg)
        if self.class_weights is not None and not bool(((some == 0) | (some == 1)).all()):
            msg = (
                "Logistic class_weights are those of targets 0 and 1, but there are targets between; pass a function "
                "of (output, target) that returns (values, weights)."
            )
            raise ModelError(msg)
