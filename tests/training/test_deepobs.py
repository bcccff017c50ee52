"""DeepOBS's `quadratic_deep` (Schneider et al., 2019, arXiv:1903.05499), rebuilt from its seeds: published losses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim

DIMENSIONS, NOISE, BATCH, STEPS = 100, 0.6, 128, 700  # 100 epochs of 7 batches, the remainder dropped
FLOOR = 86.874  # the least loss of this test set, which raw losses hide


def _rotation(random: np.random.RandomState) -> np.ndarray:
    """A rotation drawn by the subgroup algorithm (Diaconis & Shahshahani, 1987)."""
    angle = 2 * np.pi * random.uniform()
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for size in range(3, DIMENSIONS + 1):
        direction = random.normal(size=size)
        mirror = np.eye(size)[0] - direction / np.linalg.norm(direction)
        mirror /= np.linalg.norm(mirror)
        larger = np.eye(size)
        larger[1:, 1:] = rotation
        rotation = larger - 2 * np.outer(mirror, mirror @ larger)
    return -rotation


def _hessian() -> Tensor:
    random = np.random.RandomState(42)
    eigenvalues = np.concatenate([random.uniform(0, 1, 90), random.uniform(30, 60, 10)])
    rotation = _rotation(random)
    return torch.from_numpy(rotation.T @ np.diag(eigenvalues) @ rotation)


def _rows(seed: int, count: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).normal(0.0, NOISE, (1_000, DIMENSIONS)))[:count]


class Point(nn.Module):
    """theta - x, from theta = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(DIMENSIONS))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta - x


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    hessian = _hessian()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs @ hessian) * outputs).sum(-1) / 2

    test = _rows(43, 896)
    data = tw.data.from_user((_rows(42, 1_000), torch.zeros(1_000)), (test, torch.zeros(896)))
    return tw.Problem(Point, data, loss, dtype=torch.float64)


def test_the_loss_before_training_and_the_floor_are_the_published_ones(problem: tw.Problem) -> None:
    run = tw.train(problem, tw.Recipe(optim.SGD(0.01), 1, BATCH), seeds=1)
    assert run.history["test_loss"][0, 0] == pytest.approx(353.44677, abs=1e-5)
    test = _rows(43, 896)
    least = problem.initialize(1).with_theta(test.mean(0, keepdim=True))
    assert float(tw.evaluation.evaluate(problem, least)["loss"]) == pytest.approx(FLOOR, abs=1e-3)


@pytest.mark.parametrize(
    ("rule", "published"),
    [
        (lambda: optim.SGD(0.01), 87.293),
        (lambda: optim.Adam(1e-3), 106.639),
        (lambda: optim.Adam(0.01104, 0.6675, 0.8405), 87.225),
    ],
    ids=["SGD 0.01", "Adam default", "Adam, the best found"],
)
def test_the_loss_after_training_is_the_published_one(problem: tw.Problem, rule: object, published: float) -> None:
    run = tw.train(problem, tw.Recipe(rule(), STEPS, BATCH, evaluate=0), seeds=5)
    excess = run.history["test_loss"][-1] - FLOOR
    assert excess.mean() == pytest.approx(published - FLOOR, abs=0.15)
    assert (excess > 0).all()
