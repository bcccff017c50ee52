"""Potentials whose saddles are known, as problems."""

import torch
from connectivity.planted import of_function
from torch import Tensor

import thalweg as tw

MUELLER_BROWN_MINIMA = {
    -146.6995: (-0.558224, 1.441726),
    -80.7678: (-0.050011, 0.466694),
    -108.1667: (0.623499, 0.028038),
}
MUELLER_BROWN_SADDLES = (-40.6648, -72.2489)  # between the first two, and between the last two

_TERMS = torch.tensor(
    [  # A, a, b, c, x0, y0
        [-200, -1, 0, -10, 1, 0],
        [-100, -1, 0, -10, 0, 0.5],
        [-170, -6.5, 11, -6.5, -0.5, 1.5],
        [15, 0.7, 0.6, 0.7, -1, 1],
    ],
    dtype=torch.float64,
)


def mueller_brown() -> tw.Problem:
    """The potential of Mueller and Brown, 1979, doi:10.1007/BF00547608: sum of A exp(a dx^2 + b dx dy + c dy^2)."""
    height, a, b, c, x0, y0 = _TERMS.T

    def potential(x: Tensor) -> Tensor:
        dx, dy = x[0] - x0, x[1] - y0
        return (height * (a * dx**2 + b * dx * dy + c * dy**2).exp()).sum()

    return of_function(potential, 2)


def double_well() -> tw.Problem:
    """(x^2 - 1)^2 + y^2: minima at (-1, 0) and (1, 0), the saddle of height 1 between."""
    return of_function(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, 2)
