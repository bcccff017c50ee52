"""The search for critical points on functions whose critical points are known, and what is made of them."""

import math

import numpy as np
import pytest
import torch
from curvature.planted import quadratic
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.population import Batch, derivatives
from thalweg.studies import Lab
from thalweg.studies.landscape import saddles
from thalweg.studies.landscape.critical import critical_points, gradient


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
    assert found.found.all()
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
    assert found.found.all()
    assert found.population.theta.abs().max() < 1e-7


def test_where_there_is_none_none_is_found_and_it_is_said_to_be_flat() -> None:
    problem = _problem(Slope)
    found = critical_points(problem, _at(problem, (1.5, 0.7)), tolerance=1e-8, steps=60)
    assert not found.found.any()
    assert found.population.theta[0].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert float(found.norm) == pytest.approx(2, abs=1e-5)
    assert float(found.flat) < 1e-3


def test_members_do_not_mix_and_one_that_is_gone_stays() -> None:
    problem = _problem(Wells)
    start = _at(problem, (0.9, 0.2), (math.nan, 1.0), (0.3, 1.2))
    together = critical_points(problem, start, tolerance=1e-12)
    assert together.found.tolist() == [True, False, True]
    alone = critical_points(problem, start[2], tolerance=1e-12)
    torch.testing.assert_close(together.population.theta[2], alone.population.theta[0], rtol=1e-12, atol=1e-14)


def test_the_gradient_is_that_of_the_library() -> None:
    problem = saddles.problem_of(Lab())
    population = problem.initialize(2)
    train = problem.data.train
    wanted = derivatives.gradient(problem, population, Batch.range(train, 0, len(train)))
    torch.testing.assert_close(gradient(problem, population), wanted, rtol=1e-10, atol=1e-14)


def test_what_cannot_be_meant() -> None:
    problem = _problem(Wells)
    with pytest.raises(UsageError, match="critical_points tolerance must be above 0; got 0"):
        critical_points(problem, problem.initialize(1), tolerance=0)
    with pytest.raises(UsageError, match="critical_points steps must be a whole number of at least 1; got 0"):
        critical_points(problem, problem.initialize(1), tolerance=1e-6, steps=0)


def test_the_loss_is_the_error_and_half_the_decay_times_the_sum_of_squares() -> None:
    problem = saddles.problem_of(Lab())
    population = problem.initialize(3)
    values = tw.evaluation.evaluate(problem, population, problem.data.train)
    decay = saddles.DECAY / 2 * population.theta.square().sum(1)
    torch.testing.assert_close(values["loss"], values["error"] + decay)


def test_points_of_one_loss_count_once() -> None:
    losses = np.array([0.3, 0.1, 0.3 + 1e-10, 0.2, 0.1])
    assert saddles.different(losses).tolist() == [True, True, False, True, False]
    assert saddles.different(losses[:0]).tolist() == []


def test_rank_correlations_and_too_few_points() -> None:
    rising = np.array([0.1, 0.2, 0.5, 3.0])
    assert saddles.rank_correlation(rising, rising**2) == pytest.approx(1)
    assert saddles.rank_correlation(rising, -rising) == pytest.approx(-1)
    assert math.isnan(saddles.rank_correlation(rising[:3], rising[:3]))
    assert math.isnan(saddles.rank_correlation(rising, np.ones(4)))


@pytest.mark.parametrize("known", [0, 1, 3])
def test_too_few_seeds_decide_nothing(known: int) -> None:
    correlations = np.array([1.0] * known + [math.nan] * 3)
    assert saddles.CLAIM.judge(saddles.over_seeds(correlations)).outcome == "undecided"


def test_many_seeds_decide() -> None:
    agreed = saddles.over_seeds(np.array([1.0] * 9 + [math.nan]))
    assert (agreed.n, agreed.estimate, agreed.high) == (9, 1, 1)
    assert agreed.low == pytest.approx(2 * 0.025 ** (1 / 9) - 1, abs=0.01)  # Clopper and Pearson's, on -1 to 1
    assert saddles.CLAIM.judge(agreed).outcome == "holds"
    assert saddles.CLAIM.judge(saddles.over_seeds(np.full(9, -0.9))).outcome == "fails"


def test_a_search_that_finds_nothing_is_undecided_by_computation() -> None:
    lab, seeds = Lab(), [900, 901]
    problem = saddles.problem_of(lab)
    population = problem.initialize(4)
    start = saddles.Start(population, np.array([0, 1, 0, 1]), np.array(["run", "run", "random", "random"]))
    search = critical_points(problem, population, tolerance=1e-12, steps=1)
    finding = saddles.finding(lab, problem, seeds, start, search)
    assert finding.verdict.outcome == "undecided"
    assert finding.verdict.numbers["different critical points"] == 0
