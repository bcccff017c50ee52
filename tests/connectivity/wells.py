"""Problems whose loss is a known function of few parameters."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import thalweg as tw

Potential = Callable[[Tensor], Tensor]


def problem_of(potential: Potential, size: int, examples: int = 4, **options: object) -> tw.Problem:
    """A model of `size` parameters, which returns the potential of them for every example; that is its loss."""

    class Place(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = nn.Parameter(torch.zeros(size))

        def forward(self, inputs: Tensor) -> Tensor:
            return potential(self.at).expand(len(inputs), 1)

    data = torch.zeros(examples, 1, dtype=torch.float64), torch.zeros(examples, 1, dtype=torch.float64)
    return tw.Problem(Place, data, lambda output, target: (output - target).squeeze(1), dtype=torch.float64, **options)


def place(problem: tw.Problem, *points: list[float]) -> tw.Population:
    """Members at these points."""
    return problem.initialize(1).with_theta(torch.tensor(points, dtype=torch.float64))


def double_well(at: Tensor) -> Tensor:
    """(x^2 - 1)^2: minima at +-1, a maximum of 1 between them."""
    return (at[0] ** 2 - 1) ** 2
