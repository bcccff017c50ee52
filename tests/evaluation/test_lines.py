"""Barriers: of known curves, and of networks between which the loss is known."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.evaluation import line_heights, lines

AT = np.linspace(-1, 1, 2_001)


def test_barriers_of_double_wells() -> None:
    wells = (AT**2 - 1) ** 2
    values = np.stack([wells, wells + AT, AT**2])
    for name in ("loss", "error"):
        assert line_heights(values, name).barrier == pytest.approx([1, 1, 0], abs=1e-12)
    assert line_heights(np.stack([values, values])).barrier.shape == (2, 3)


def test_a_network_has_no_barrier_to_itself_and_directions_do_not_matter() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), dtype=torch.float64)
    first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    second = second.with_theta(6 * second.theta)
    assert lines(problem, first, first, points=5)["loss barrier"] == pytest.approx(0, abs=1e-12)
    there, back = lines(problem, first, second, points=9), lines(problem, second, first, points=9)
    for name in ("loss barrier", "accuracy barrier"):
        assert there[name] == pytest.approx(back[name], abs=1e-12)


def test_the_barrier_of_units_in_another_order_is_positive() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=60, batch_size=100, evaluate=1)
    population = tw.train(problem, recipe, 2, progress=None).final
    other = problem.structure.permuted(population, "hidden1", torch.arange(16).roll(1))
    found = lines(problem, population, other, points=11)
    assert found["loss"][:, 0] == pytest.approx(found["loss"][:, -1], abs=1e-5)
    assert (found["loss barrier"] > 0.05).all()
    assert (found["accuracy barrier"] > 0).all()
    assert len(found.figure("accuracy").panels[0].marks) == 2
