"""The squared error."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from thalweg.losses.per_position import NamedLoss


@dataclass(frozen=True)
class SquaredError(NamedLoss):
    """(output - target)^2, of one output for every target: what the name "squared_error" stands for.

    Called, it gives the values, from which a weighted loss is one line:

    >>> import torch
    >>> import thalweg as tw
    >>> def heteroscedastic(output, target):  # targets are (y, variance)
    ...     return tw.losses.SquaredError()(output, target[0]), 1 / target[1]
    >>> x, y, variance = torch.eye(2), torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [2.0]])
    >>> problem = tw.Problem(lambda: torch.nn.Linear(2, 1), (x, (y, variance)), heteroscedastic)
    >>> zero = problem.initialize(1).with_theta(torch.zeros(1, 3))
    >>> tw.evaluate(problem, zero)["loss"].tolist()  # (1 * 0 + 1/2 * 9) / (1 + 1/2)
    [3.0]
    """

    kind: ClassVar[str] = "squared_error"
    takes_any_target: ClassVar[bool] = True

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """In the shape of the targets."""
        return (outputs - targets) ** 2
