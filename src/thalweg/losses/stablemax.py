"""A cross-entropy whose logits need not grow without end."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.losses.cross_entropy import CrossEntropy
from thalweg.losses.per_position import NamedLoss


@dataclass(frozen=True)
class StableMax(NamedLoss):
    """-log(s(outputs)[target] / sum of s(outputs)) of classes in the last dimension, in nats.

        s(x) = x + 1 for x >= 0,    1/(1 - x) for x < 0

    in the place of the exponential of the softmax. Where an example is told apart by a margin, softmax rounds its loss
    to 0 in float32 and its gradient vanishes; s grows no faster than its argument, so the loss does not.

    >>> import torch
    >>> import thalweg as tw
    >>> outputs, target = torch.tensor([[3.0, -1.0]]), torch.tensor([0])
    >>> float(tw.losses.StableMax()(outputs, target).exp())  # 1/(4/(4 + 1/2))
    1.125

    Source: Prieto et al. (2025), Grokking at the edge of numerical stability, arXiv:2501.04697.
    """

    kind: ClassVar[str] = "stablemax"
    unit: ClassVar[str] = "nats"

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """In the shape of the targets."""
        above, below = outputs.clamp_min(0).log1p(), (-outputs).clamp_min(0).log1p()
        logs = torch.where(outputs >= 0, above, -below)  # log s, so that the loss is a cross-entropy of these
        return logs.logsumexp(-1) - logs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError unless outputs are (batch, ..., classes) for integer targets (batch, ...)."""
        if not isinstance(outputs, Tensor):
            super().check(outputs, targets)
        if tuple(outputs.shape[:-1]) != tuple(targets.shape) or targets.is_floating_point():
            msg = (
                f"stablemax takes outputs (batch, ..., classes) and integer targets (batch, ...); the model returned "
                f"{tuple(outputs.shape)} for targets {tuple(targets.shape)} of {targets.dtype}."
            )
            raise ModelError(msg)

    def check_targets(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ModelError when a target is none of the classes 0 to classes - 1."""
        CrossEntropy().check_targets(outputs, targets)
