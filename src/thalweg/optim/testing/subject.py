"""Rules and torch's optimizers behind one face: parameters as one vector, gradients given where they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thalweg.optim.rule import Rule
from thalweg.optim.testing.claims import Claims
from thalweg.optim.wrapper import Wrapper

Shapes = Sequence[tuple[int, ...]]
Slope = Callable[[Tensor], Tensor]
Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
Given = Rule | Wrapper | Make
MATRICES: Shapes = ((4, 4), (3, 5))
MIXED: Shapes = (*MATRICES, (6,))
SQUARE: Shapes = ((4, 4), (5, 5))  # one gradient of full rank leaves no eigenvector to be chosen


class Run(Protocol):
    """An optimizer at work on a vector of parameters."""

    @property
    def theta(self) -> Tensor:
        """The parameters now, (parameters,), a copy."""
        ...

    def advance(self, slope: Slope) -> None:
        """One step; `slope` gets the point and returns the gradient tensor (parameters,) that is handed over."""
        ...

    def memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """The tensors of its parameters and those of its state."""
        ...

    def resumed(self) -> "Run":
        """A new optimizer with its parameters and state, by way of what is saved."""
        ...


class Subject(Protocol):
    """An optimizer to check."""

    name: str
    claims: Claims
    shapes: Shapes

    def run(self, start: Tensor, shapes: Shapes | None = None, **changes: Any) -> Run:
        """A fresh run from `start` (parameters,) cut into tensors, with other settings where given."""
        ...

    def knows(self, *names: str) -> bool:
        """Whether these settings can be changed."""
        ...
