"""Convolutions and pooling against the matrices that they are: how many windows lie over a position, and how long."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.generalization import bounds
from thalweg.generalization.bounds.chain import chain_of

IMAGES = tw.data.digits(image=True).subset(train=20, test=10)


def matrix_of(layers: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """Of a linear map of an image."""
    size = int(np.prod(shape))
    with torch.no_grad():
        return layers(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).reshape(size, -1).T.numpy()


def problem_of(*layers: nn.Module) -> tw.Problem:
    """The layers on images, and a linear one behind them."""
    with torch.no_grad():
        size = nn.Sequential(*layers)(torch.zeros(1, 1, 8, 8)).numel()

    def model() -> nn.Module:
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 10, bias=False))

    return tw.Problem(model, IMAGES, dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "tight"),
    [
        (lambda: nn.Conv2d(1, 3, 2, stride=2, bias=False), True),
        (lambda: nn.Conv2d(1, 3, 2, stride=3, bias=False), True),
        (lambda: nn.Conv2d(1, 3, (3, 2), stride=(2, 2), bias=False), False),
        (lambda: nn.Conv2d(1, 3, 3, stride=2, padding=1, bias=False), False),
        (lambda: nn.Conv2d(1, 3, 3, stride=2, dilation=2, padding=2, bias=False), False),
        (lambda: nn.Conv2d(1, 4, 3, padding=2, bias=False), False),
        (lambda: nn.Conv2d(1, 4, 5, padding="same", bias=False), False),
    ],
)
def test_the_norm_of_a_strided_convolution(make: Callable[[], nn.Module], tight: bool) -> None:
    """That of its kernel alone is no bound; where windows do not overlap it is the norm."""
    problem = problem_of(make())
    population = problem.initialize(1)
    found = bounds.layer_norms(problem, population)["spectral"][0, 0]
    exact = np.linalg.norm(matrix_of(population.module(0)[0], (1, 8, 8)), 2)
    assert exact * (1 - 1e-9) <= found <= exact * (1 + 1e-9 if tight else 3)


@pytest.mark.parametrize(
    ("pool", "longer"),
    [
        (nn.AdaptiveAvgPool2d(14), True),  # every value four times, as of an image smaller than the model was made for
        (nn.AdaptiveAvgPool2d((11, 7)), True),
        (nn.AdaptiveAvgPool2d((11, 3)), False),
        (nn.AdaptiveAvgPool2d(3), False),
        (nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), True),
        (nn.AvgPool2d(3, 1, padding=1), False),
        (nn.AvgPool2d(4, 3, ceil_mode=True), False),
        (nn.AvgPool2d(2), False),
    ],
)
def test_averages_may_be_longer_than_what_they_are_of(pool: nn.Module, longer: bool) -> None:
    (slope, _) = chain_of(problem_of(nn.Conv2d(1, 2, 2, bias=False), pool)).slopes
    exact = np.linalg.norm(matrix_of(pool, (1, 7, 7)), 2)
    assert slope == pytest.approx(exact if longer else 1.0)
    assert (exact > 1 + 1e-9) == longer


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (nn.AvgPool2d(2, divisor_override=1), "divides by a number of its own"),
        (nn.MaxPool2d(3, 2), "windows overlap"),
        (nn.MaxPool2d(2, 2, dilation=2), "windows overlap"),
    ],
)
def test_pooling_that_lengthens_what_it_is_of_is_refused(pool: nn.Module, why: str) -> None:
    problem = problem_of(nn.Conv2d(1, 2, 1, bias=False), pool)
    with pytest.raises(ModelError, match=why):
        bounds.layer_norms(problem, problem.initialize(1))


def test_maxima_of_windows_that_share_nothing_are_taken() -> None:
    chain = chain_of(problem_of(nn.Conv2d(1, 2, 1, bias=False), nn.MaxPool2d(2, 3, dilation=1), nn.ReLU()))
    assert chain.slopes == (1.0, 1.0)
    assert not chain.kinked
