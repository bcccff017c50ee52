"""Rules and torch's optimizers behind one interface: a vector of parameters, and gradients where they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.optim.rule import Rule
from thalweg.optim.testing.specification import Specification
from thalweg.optim.wrapper import Wrapper

Shapes = Sequence[tuple[int, ...]]
GradientAt = Callable[[Tensor], Tensor]
Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
Given = Rule | Wrapper | Make
MATRICES: Shapes = ((4, 4), (3, 5))
MIXED: Shapes = (*MATRICES, (6,))
SQUARE: Shapes = ((4, 4), (5, 5))  # one gradient of full rank leaves no eigenvector to be chosen


class TestedRun(Protocol):
    """An optimizer at work on a vector of parameters."""

    @property
    def theta(self) -> Tensor:
        """The parameters now, (parameters,), a copy."""
        ...

    def advance(self, gradient_at: GradientAt) -> None:
        """One step; `gradient_at` gets the point and returns the gradient tensor (parameters,) that is handed over."""
        ...

    def memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """The tensors of its parameters and those of its state."""
        ...

    def resumed(self) -> "TestedRun":
        """A new optimizer with its parameters and state, by way of what is saved."""
        ...


class Subject(Protocol):
    """An optimizer to check."""

    name: str
    specification: Specification
    shapes: Shapes

    def run(self, start: Tensor, shapes: Shapes | None = None, **changes: Any) -> TestedRun:
        """A fresh run from `start` (parameters,) cut into tensors, with other settings where given."""
        ...

    def knows(self, *names: str) -> bool:
        """Whether these settings can be changed."""
        ...


def check_rate(name: str, rate: float) -> None:
    """Raise UsageError where an optimizer has the learning rate 0."""
    if rate == 0:
        msg = f"check follows an optimizer's steps, and {name} has the learning rate 0; give it one such as 1e-3."
        raise UsageError(msg)
