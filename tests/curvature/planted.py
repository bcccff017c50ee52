"""Problems whose curvature is known: quadratics with a planted spectrum."""

import numpy as np
import torch
from spectra.planted import matrix_of
from torch import Tensor, nn

import thalweg as tw
from thalweg.population import Population
from thalweg.randomness import generator


class Quadratic(nn.Module):
    """x^T A x / 2 as a network of one vector, with any matrix."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(len(matrix), dtype=matrix.dtype))
        self.register_buffer("matrix", matrix)

    def forward(self, inputs: Tensor) -> Tensor:
        return (0.5 * self.x @ self.matrix @ self.x).expand(len(inputs), 1)


def quadratic(spectrum: np.ndarray) -> tw.Problem:
    """A problem whose Hessian has this spectrum everywhere."""
    return of_matrix(matrix_of(spectrum))


def of_matrix(matrix: Tensor) -> tw.Problem:
    """A problem whose Hessian is this matrix everywhere."""
    data = torch.zeros(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    return tw.Problem(lambda: Quadratic(matrix), data, lambda output, target: (output - target).squeeze(1))


def away(problem: tw.Problem, members: int, seed: int = 0) -> Population:
    """Members at random points, which are no minima."""
    start = problem.initialize(members)
    draw = torch.randn(start.theta.shape, generator=generator(seed, "away"), dtype=torch.float64)
    return start.with_theta(draw)


def relu_network() -> tw.Problem:
    """Two layers without biases, whose function stays where one is scaled by what the other is divided by."""
    x = torch.randn(40, 5, generator=generator(0, "x"), dtype=torch.float64)
    model = lambda: nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))  # noqa: E731
    return tw.Problem(model, (x, torch.arange(40) % 3), dtype=torch.float64)
