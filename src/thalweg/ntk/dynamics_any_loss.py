"""Any loss as a function of outputs: what a kernel's dynamics need of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.losses.names import Loss, loss_named
from thalweg.losses.per_position import NamedLoss
from thalweg.ntk.dynamics_problem import KernelProblem, tensor_of

AnyLoss = str | NamedLoss | Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class OnOutputs:
    """The mean of a loss over examples, as a function of their outputs.

    Args:
        loss: of single examples.
        truth: targets as the loss takes them, examples first; the same for all members.
    """

    loss: Loss
    truth: Tensor

    @classmethod
    def of(cls, loss: AnyLoss, targets: Any) -> "OnOutputs":
        """That of a Problem, and targets; values of one output are (n, 1).

        Raises:
            UsageError, ModelError: no such loss.
        """
        truth = tensor_of(targets)
        if truth.is_floating_point():
            truth = (truth if truth.ndim > 1 else truth[:, None]).to(torch.float64)
        return cls(loss_named(loss), truth)

    def mean(self, outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Of every member, over some rows: outputs (members, n, C) to (members,)."""
        seen, known = (outputs, self.truth) if rows is None else (outputs[:, rows], self.truth[rows])
        return self.loss.mean(seen, known.expand(len(seen), *known.shape), 2)

    def gradient(self, outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Of the mean over some rows with respect to all outputs: (members, n, C)."""
        leaf = outputs.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.mean(leaf, rows).sum(), leaf)[0]

    def problem(self, kernel: Any, cross: Any, start: Any, start_test: Any, outputs: int | None) -> KernelProblem:
        """The kernel's, with outputs of 0 in the place of targets, which only the loss knows how to read.

        Raises:
            UsageError: as `KernelProblem.of`.
            ModelError: targets that a named loss is not made for.
        """
        given, truth = tensor_of(kernel), self.truth
        shape, device = given.shape, given.device
        if start is not None:
            like = torch.zeros_like(tensor_of(start), dtype=torch.float64)
        elif len(shape) > 3:
            like = torch.zeros(len(truth), shape[-1], dtype=torch.float64)
        else:
            classes = int(truth.max()) + 1 if not truth.is_floating_point() and truth.ndim == 1 else 1
            count = outputs or (truth.shape[-1] if truth.ndim > 1 else classes)
            like = torch.zeros(len(truth), count, dtype=torch.float64)
        if isinstance(self.loss, NamedLoss) and not self.loss.takes_any_target:
            self.loss.check_targets(like, truth)
        return KernelProblem.of(given, cross, like.to(device), start, start_test)
