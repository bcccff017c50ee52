"""The search for critical points on functions whose critical points are known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from curvature.planted import quadratic
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.landscape import critical_points


class Wells(nn.Module):
    """(x^2 - 1)^2 + (y^2 - 1)^2 / 2: minima at (+-1, +-1), saddles at (0, +-1) and (+-1, 0), a maximum at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(2))

    def forward(self, inputs: Tensor) -> Tensor:
        x, y = self.at
        return ((x**2 - 1) ** 2 + (y**2 - 1) ** 2 / 2).expand(len(inputs), 1)


class Slope(nn.Module):
    """2 x + x^3/3 + y^2/2: its gradient (2 + x^2, y) is never 0, and shortest at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(2))

    def forward(self, inputs: Tensor) -> Tensor:
        x, y = self.at
        return (2 * x + x**3 / 3 + y**2 / 2).expand(len(inputs), 1)


def _problem(model: type[nn.Module]) -> tw.Problem:
    data = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    return tw.Problem(model, data, lambda output, target: (output - target).squeeze(1), dtype=torch.float64)


def _at(problem: tw.Problem, *points: tuple[float, ...]) -> tw.Population:
    return problem.initialize(1).with_theta(torch.tensor(points, dtype=torch.float64))


def test_from_nearby_every_kind_of_critical_point_is_found() -> None:
    problem = _problem(Wells)
    wanted = torch.tensor([[1.0, -1.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    start = problem.initialize(1).with_theta(wanted + torch.tensor([0.1, -0.15], dtype=torch.float64))
    before = start.theta.clone()
    found = critical_points(problem, start, tolerance=1e-12)
    assert found.converged.all()
    assert found.steps < 20
    torch.testing.assert_close(found.population.theta, wanted, rtol=0, atol=1e-10)
    assert torch.equal(start.theta, before)
    index = tw.spectra.negative_index(tw.curvature.hessian(problem, found.population))["negative"]
    assert index.tolist() == [0, 0.5, 0.5, 1]


def test_a_saddle_of_a_quadratic_is_found_from_anywhere() -> None:
    problem = quadratic(np.array([-3.0, -0.01, 0.2, 5.0]))
    start = problem.initialize(1)
    start = start.with_theta(torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    found = critical_points(problem, start, tolerance=1e-10)
    assert found.converged.all()
    assert found.population.theta.abs().max() < 1e-7


def test_where_there_is_none_none_is_found_and_it_is_said_to_be_flat() -> None:
    problem = _problem(Slope)
    found = critical_points(problem, _at(problem, (1.5, 0.7)), tolerance=1e-8, steps=60)
    assert not found.converged.any()
    assert found.population.theta[0].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert float(found["gradient norm"][0]) == pytest.approx(2, abs=1e-5)
    assert float(found["curvature along the gradient"][0]) < 1e-3


def test_members_do_not_mix_and_one_that_is_not_finite_stays() -> None:
    problem = _problem(Wells)
    start = _at(problem, (0.9, 0.2), (math.nan, 1.0), (0.3, 1.2))
    together = critical_points(problem, start, tolerance=1e-12)
    assert together.converged.tolist() == [True, False, True]
    alone = critical_points(problem, start[2], tolerance=1e-12)
    torch.testing.assert_close(together.population.theta[2], alone.population.theta[0], rtol=1e-12, atol=1e-14)


def test_what_cannot_be_meant() -> None:
    problem = _problem(Wells)
    with pytest.raises(UsageError, match="critical_points tolerance must be above 0; got 0"):
        critical_points(problem, problem.initialize(1), tolerance=0)
    with pytest.raises(UsageError, match="critical_points steps must be a whole number of at least 1; got 0"):
        critical_points(problem, problem.initialize(1), tolerance=1e-6, steps=0)


def test_the_loss_is_that_of_the_examples_asked_for() -> None:
    """Least squares of a line through the origin: the minimum is the ratio of the sums of these examples alone."""
    x = torch.linspace(-1, 2, 12, dtype=torch.float64)[:, None]
    y = torch.sin(3 * x)
    problem = tw.Problem(lambda: nn.Linear(1, 1, bias=False), (x, y), "squared_error", dtype=torch.float64)
    some = tw.Sample("train", 5, seed=2)
    found = critical_points(problem, problem.initialize(1), tolerance=1e-12, on=some)
    rows = some.draw(problem).indices
    assert float(found.population.theta) == pytest.approx(float((x[rows] * y[rows]).sum() / x[rows].square().sum()))
    assert found.reading.sample_size == 5


def test_the_result_says_what_was_done() -> None:
    problem = _problem(Wells)
    found = critical_points(problem, _at(problem, (0.9, 0.2), (1.0, 1.0)), tolerance=1e-12)
    assert found["gradient norm before"].tolist() == pytest.approx([math.hypot(4 * 0.9 * 0.19, 2 * 0.2 * 0.96), 0.0])
    figure = found.figure()
    assert figure.panels[0].marks[1].value == 1e-12
    assert (figure.panels[0].x.unit, figure.panels[0].y.scale) == (problem.loss.unit, "log")


def test_critical_points_of_one_loss_count_once_in_each_group() -> None:
    problem = _problem(Wells)
    ends = [(1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (0.0, -1.0)]
    points = [(x + 0.1, y - 0.1) for x, y in ends]
    found = critical_points(problem, _at(problem, *points, (math.nan, 0.0)), tolerance=1e-10)
    assert found["loss"][:5] == pytest.approx([0, 1, 0, 0.5, 1], abs=1e-12)
    assert found.converged.tolist() == [True] * 5 + [False]
    mask = found.distinct()
    assert sorted(found["loss"][mask].round(6)) == [0, 0.5, 1]
    by_group = found.distinct([0, 0, 1, 1, 1, 1])
    assert by_group.tolist() == [True] * 5 + [False]
    assert found.distinct([0, 1, 0, 0, 1, 0])[[1, 4]].sum() == 1
    assert found.distinct(tolerance=0.6).sum() == 1  # a chain of losses that agree
    with pytest.raises(UsageError, match="the group of each of 6 members"):
        found.distinct([0, 1])
    nothing = critical_points(problem, _at(problem, (0.4, 0.4)), tolerance=1e-12, steps=1)
    assert nothing.distinct().tolist() == [False]


def test_what_is_pruned_stays_and_has_no_part_in_the_gradient() -> None:
    x = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]], dtype=torch.float64)
    problem = tw.Problem(lambda: nn.Linear(3, 1, bias=False), (x, y), "squared_error", dtype=torch.float64)
    start = problem.initialize(2)
    mask = torch.tensor([[True, False, True], [True, True, True]])
    pruned = dataclasses.replace(start, theta=start.theta * mask, mask=mask)
    found = critical_points(problem, pruned, tolerance=1e-10)
    assert found.converged.all()
    wanted = torch.zeros(2, 3, dtype=torch.float64)
    wanted[0, [0, 2]] = torch.linalg.lstsq(x[:, [0, 2]], y).solution[:, 0]
    wanted[1] = torch.linalg.lstsq(x, y).solution[:, 0]
    torch.testing.assert_close(found.population.theta, wanted, rtol=1e-8, atol=1e-9)
