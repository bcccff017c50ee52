"""Problems whose curves of low loss are known: functions of a vector, and linear networks of two layers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.population import Population
from thalweg.randomness import generator


class Vector(nn.Module):
    """A function of one vector as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor], dimension: int) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(dimension, dtype=torch.float64))
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(self.x).expand(len(inputs), 1)


def of_function(function: Callable[[Tensor], Tensor], dimension: int) -> tw.Problem:
    """A problem whose loss is a function of a vector."""
    data = torch.zeros(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    return tw.Problem(lambda: Vector(function, dimension), data, lambda output, target: (output - target).squeeze(1))


def ring(dimension: int = 2) -> tw.Problem:
    """(|x| - 1)^2, whose minima are one connected sphere."""
    return of_function(lambda x: ((x.square().sum() + 1e-12).sqrt() - 1) ** 2, dimension)


def members(problem: tw.Problem, rows: Sequence[Sequence[float]] | Tensor) -> Population:
    """The rows as networks."""
    theta = torch.as_tensor(rows, dtype=problem.dtype)
    return problem.initialize(1).with_theta(theta)


def deep_linear(width: int = 3, count: int = 30) -> tuple[tw.Problem, Callable[[float], Population]]:
    """A linear network of two layers on noisy targets, and its explicit curve without a barrier.

    Both ends, t = 0 and 1, have the same product of layers, the best one: G(t) W1 and W2 G(t)^-1, G a rotation times a
    scale.
    """
    stream = generator(0, "deep linear")
    x = torch.randn(count, width, generator=stream, dtype=torch.float64)
    y = x @ torch.randn(width, width, generator=stream, dtype=torch.float64)
    y = y + 0.1 * torch.randn(count, width, generator=stream, dtype=torch.float64)
    model = lambda: nn.Sequential(nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False))  # noqa: E731
    problem = tw.Problem(model, (x, y), "squared_error", dtype=torch.float64)
    best = torch.linalg.lstsq(x, y).solution.T
    skew = torch.randn(width, width, generator=stream, dtype=torch.float64)
    generating = 2 * (skew - skew.T) / torch.linalg.matrix_norm(skew - skew.T, 2)
    generating = generating + 0.3 * torch.eye(width, dtype=torch.float64)

    def at(t: float) -> Population:
        turn = torch.linalg.matrix_exp(t * generating)
        first, second = turn, best @ torch.linalg.inv(turn)
        return members(problem, torch.cat([first.flatten(), second.flatten()])[None])

    return problem, at
