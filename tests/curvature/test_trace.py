"""Traces and diagonals: unbiased, with standard errors that cover, and exact where the papers say so."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE
from curvature.planted import matrix_of, of_matrix, quadratic
from scipy import stats
from torch import Tensor

from thalweg.curvature import Operator, block, diagonal, trace
from thalweg.errors import UsageError
from thalweg.randomness import generator

FALLING = 3.0 / np.arange(1, 61) ** 2
METHODS = ("hutchinson", "hutch++", "xtrace")


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_unbiased_and_their_errors_are_right(method: str) -> None:
    """Over 300 seeds the mean is the trace within 4 standard errors, and these are what the values scatter by.

    That of "xtrace" is not too small in the mean, for spectra of every kind: see below.
    """
    problem = quadratic(np.linspace(-1, 2, 80))
    member = problem.initialize(1)
    found = [trace(problem, member, method=method, products=24, seed=seed) for seed in range(300)]
    values = np.array([float(one["trace"][0]) for one in found])
    errors = np.array([float(one.standard_errors["trace"][0]) for one in found])
    true = np.linspace(-1, 2, 80).sum()
    assert abs(values.mean() - true) < 4 * values.std() / 300**0.5
    size, three = float(np.mean(errors**2) ** 0.5 / values.std()), 3 * (0.05 * 0.95 / 300) ** 0.5
    samples = {"hutchinson": 24, "hutch++": 8, "xtrace": 12}[method]
    covered = np.mean(np.abs(values - true) <= stats.t.ppf(0.975, samples - 1) * errors)
    assert size > 0.85  # three standard errors of the ratio
    assert covered >= 0.95 - three
    if method != "xtrace":
        assert size < 1.15
        assert covered <= 0.95 + three


KINDS = {
    "falling": FALLING,
    "slowly falling": 1 / np.arange(1, 101),
    "geometric": 0.9 ** np.arange(80),
    "outliers": np.concatenate([[50.0, 20, 10], np.random.default_rng(0).normal(0, 0.3, 90)]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("products", [8, 24])
def test_the_error_of_xtrace_is_not_too_small(products: int, kind: str) -> None:
    """Efron and Stein's inequality, and intervals by Student's t: 200 seeds, to three standard errors."""
    problem = quadratic(KINDS[kind])
    member, true = problem.initialize(1), KINDS[kind].sum()
    found = [trace(problem, member, products=products, seed=seed) for seed in range(200)]
    values = np.array([one["trace"][0] for one in found])
    errors = np.array([one.standard_errors["trace"][0] for one in found])
    covered = np.mean(np.abs(values - true) <= stats.t.ppf(0.975, products // 2 - 1) * errors)
    assert covered >= 0.95 - 3 * (0.05 * 0.95 / 200) ** 0.5
    assert 0.85 < np.mean(errors**2) ** 0.5 / values.std() < 4


@pytest.mark.parametrize(
    ("method", "samples", "reach"), [("hutchinson", 12, 2.2), ("hutch++", 4, 3.18), ("xtrace", 6, 2.57)]
)
def test_readings_say_what_their_errors_are_worth(method: str, samples: int, reach: float) -> None:
    problem = quadratic(FALLING)
    notes = trace(problem, problem.initialize(1), method=method, products=12).notes
    assert any(f"over {samples} samples: 95 % are within {reach} of them" in note for note in notes)


def test_hutchinsons_variance_is_the_papers() -> None:
    matrix = matrix_of(np.linspace(0, 3, 30))
    problem = of_matrix(matrix)
    values = [
        float(trace(problem, problem.initialize(1), method="hutchinson", products=4, seed=seed)["trace"][0])
        for seed in range(400)
    ]
    wanted = 2 * (matrix.square().sum() - matrix.diagonal().square().sum()) / 4
    assert np.var(values) == pytest.approx(float(wanted), rel=0.3)


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_sketches_beat_hutchinson_where_eigenvalues_fall(method: str) -> None:
    problem = quadratic(FALLING)
    member = problem.initialize(1)

    def error(method: str) -> float:
        found = [float(trace(problem, member, method=method, products=30, seed=seed)["trace"][0]) for seed in range(20)]
        return float(np.sqrt(np.mean((np.array(found) - FALLING.sum()) ** 2)))

    assert error(method) < 0.1 * error("hutchinson")


@pytest.mark.parametrize("rank", [0, 3, 11])
@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_matrices_of_low_rank_are_exact(method: str, rank: int) -> None:
    spectrum = np.zeros(40)
    spectrum[:rank] = np.linspace(1, 5, rank)
    problem = quadratic(spectrum)
    found = trace(problem, problem.initialize(1), method=method, products=36)
    assert found["trace"][0] == pytest.approx(spectrum.sum(), abs=1e-9)
    assert found.standard_errors["trace"][0] == pytest.approx(0, abs=1e-9)


def _leave_one_out(matrix: Tensor, omega: Tensor) -> Tensor:
    """XTrace as the paper defines it: m projectors, one at a time."""
    n, m = omega.shape
    found = []
    for i in range(m):
        others = [j for j in range(m) if j != i]
        basis = torch.linalg.qr(matrix @ omega[:, others])[0]
        rest = omega[:, i] - basis @ (basis.T @ omega[:, i])
        share = (n - m + 1) / rest.square().sum()
        found.append(torch.trace(basis.T @ matrix @ basis) + share * rest @ matrix @ rest)
    return torch.stack(found)


def test_xtrace_is_the_papers_estimator() -> None:
    matrix = matrix_of(np.linspace(-2, 4, 25))
    problem = of_matrix(matrix)
    draws = torch.stack(
        [torch.randn(25, generator=generator(3, "xtrace", i), dtype=torch.float64) for i in range(5)], 1
    )
    omega = 5.0 * draws / draws.norm(dim=0)
    wanted = _leave_one_out(matrix, omega)
    without = torch.stack([_leave_one_out(matrix, omega[:, torch.arange(5) != i]).mean() for i in range(5)])
    found = trace(problem, problem.initialize(1), products=11, seed=3)
    assert found["trace"][0] == pytest.approx(float(wanted.mean()), rel=1e-10)
    assert found.standard_errors["trace"][0] == pytest.approx(float(without.std() * 4 / 5**0.5), rel=1e-9)
    assert found.cost.hvps == 10


@pytest.mark.parametrize("method", METHODS)
def test_networks_members_and_blocks(method: str) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    identity = torch.eye(43, dtype=torch.float64)
    scale = block(population, "0.weight")
    together = trace(problem, population, method=method, products=36, scale=scale)
    for member in range(3):
        alone = population[member]
        dense = torch.cat([Operator(problem, alone)(row[None]) for row in identity])
        true = float((dense.diagonal() * scale).sum())
        assert abs(together["trace"][member] - true) < 5 * together.standard_errors["trace"][member] + 1e-9
        single = trace(problem, alone, method=method, products=36, scale=scale)
        assert single["trace"][0] == pytest.approx(together["trace"][member], rel=1e-9)
        assert single["mean eigenvalue"][0] == pytest.approx(single["trace"][0] / 20)
        mean, error = diagonal(problem, alone, products=400)
        assert ((mean[0] - dense.diagonal()).abs() < 5 * error[0] + 1e-12).all()
    assert together.cost.hvps == 3 * 36


def test_a_diagonal_matrix_has_its_diagonal_at_once() -> None:
    values = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    problem = of_matrix(torch.diag(values))
    mean, error = diagonal(problem, problem.initialize(1), products=2)
    torch.testing.assert_close(mean[0], values)
    assert not error.any()


@pytest.mark.parametrize("method", METHODS)
def test_members_of_few_parameters_leave_the_others(method: str) -> None:
    """A sketch with more vectors than parameters holds them all, so the trace is exact; of none it is 0."""
    problem = CASE["mlp"].problem(dtype=torch.float64)
    kept = torch.ones(3, 43, dtype=torch.bool)
    kept[1, 5:] = False
    kept[2] = False
    population = problem.initialize(3).with_mask(kept)
    found = trace(problem, population, method=method, products=36)
    alone = trace(problem, population[0], method=method, products=36)
    assert found["trace"][0] == pytest.approx(alone["trace"][0], rel=1e-9)
    operator = Operator(problem, population[1])
    dense = torch.cat([operator(row[None]) for row in torch.eye(43, dtype=torch.float64)])
    error = found.standard_errors["trace"]
    assert found["trace"][1] == pytest.approx(float(dense.trace()), abs=5 * error[1] + 1e-12)
    if method != "hutchinson":
        assert error[1] == pytest.approx(0, abs=1e-12)
    assert (found["trace"][2], error[2]) == (0, 0)
    assert np.isnan(found["mean eigenvalue"][2])


@pytest.mark.parametrize("products", [6, 80, 300])
def test_vectors_are_deleted_in_groups_where_they_are_many(products: int) -> None:
    problem = quadratic(np.linspace(-1, 2, 200))
    found = trace(problem, problem.initialize(2), products=products, seed=1)
    assert (np.abs(found["trace"] - 100) < 6 * found.standard_errors["trace"]).all()
    assert any(f"over {min(products // 2, 32)} samples" in note for note in found.notes)


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    theta = population.theta.clone()
    theta[1, 5] = torch.nan
    for method in METHODS:
        found = trace(problem, population.with_theta(theta), method=method, products=12)["trace"]
        wanted = trace(problem, population, method=method, products=12)["trace"]
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], wanted[[0, 2]], rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "hutch"}, "trace method is one of xtrace, hutchinson, hutch"),
        ({"products": 3}, "trace products must be a whole number of at least 4; got 3"),
        ({"products": 100}, "trace products must be at most twice the number of parameters seen, 43; got 100"),
        ({"method": "hutch++", "products": 132}, "products must be at most three times the number .* 43; got 132"),
        ({"seed": 1.5}, "trace seed must be a whole number such as 0; got 1.5"),
        ({"method": "hutch++", "products": 5}, "trace products must be a whole number of at least 6; got 5"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], sentence: str) -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match=sentence):
        trace(problem, problem.initialize(1), **arguments)
