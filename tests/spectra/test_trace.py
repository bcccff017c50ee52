"""Traces: unbiased, with standard errors that cover, and exact where the papers say so."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from spectra.planted import matrix_of, members_of, operator_of, with_nan
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.randomness import generator
from thalweg.spectra import from_matrix, trace

FALLING = 3.0 / np.arange(1, 61) ** 2
METHODS = ("hutchinson", "hutch++", "xtrace")


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_unbiased_and_their_errors_are_right(method: str) -> None:
    """Over 300 seeds the mean is the trace within 4 standard errors, and these are what the values scatter by.

    That of "xtrace" is not too small in the mean, for spectra of every kind: see below.
    """
    A = operator_of(np.linspace(-1, 2, 80))
    found = [trace(A, method=method, products=24, seed=seed) for seed in range(300)]
    values = np.array([float(one["trace"][0]) for one in found])
    errors = np.array([float(one.reading.standard_errors["trace"][0]) for one in found])
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
    A = operator_of(KINDS[kind])
    true = KINDS[kind].sum()
    found = [trace(A, products=products, seed=seed) for seed in range(200)]
    values = np.array([one["trace"][0] for one in found])
    errors = np.array([one.reading.standard_errors["trace"][0] for one in found])
    covered = np.mean(np.abs(values - true) <= stats.t.ppf(0.975, products // 2 - 1) * errors)
    assert covered >= 0.95 - 3 * (0.05 * 0.95 / 200) ** 0.5
    assert 0.85 < np.mean(errors**2) ** 0.5 / values.std() < 4


@pytest.mark.parametrize(
    ("method", "samples", "factor"), [("hutchinson", 12, 2.201), ("hutch++", 4, 3.182), ("xtrace", 6, 2.571)]
)
def test_readings_say_what_their_errors_are_worth(method: str, samples: int, factor: float) -> None:
    found = trace(operator_of(FALLING), method=method, products=12)
    assert set(found.reading.degrees_of_freedom) == set(found.reading.standard_errors)
    assert found.reading.degrees_of_freedom["trace"] == samples - 1
    bar = found.figure().panels[0].marks[0]
    error = found.reading.standard_errors["trace"]
    np.testing.assert_allclose(bar.high - found["trace"], factor * error, rtol=1e-3)


def test_hutchinsons_variance_is_the_papers() -> None:
    matrix = matrix_of(np.linspace(0, 3, 30))
    A = from_matrix(matrix)
    values = [float(trace(A, method="hutchinson", products=4, seed=seed)["trace"][0]) for seed in range(400)]
    wanted = 2 * (matrix.square().sum() - matrix.diagonal().square().sum()) / 4
    assert np.var(values) == pytest.approx(float(wanted), rel=0.3)


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_sketches_beat_hutchinson_where_eigenvalues_fall(method: str) -> None:
    A = operator_of(FALLING)

    def error(method: str) -> float:
        found = [float(trace(A, method=method, products=30, seed=seed)["trace"][0]) for seed in range(20)]
        return float(np.sqrt(np.mean((np.array(found) - FALLING.sum()) ** 2)))

    assert error(method) < 0.1 * error("hutchinson")


@pytest.mark.parametrize("rank", [0, 3, 11])
@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_matrices_of_low_rank_are_exact(method: str, rank: int) -> None:
    spectrum = np.zeros(40)
    spectrum[:rank] = np.linspace(1, 5, rank)
    A = operator_of(spectrum)
    found = trace(A, method=method, products=36)
    assert found["trace"][0] == pytest.approx(spectrum.sum(), abs=1e-9)
    assert found.reading.standard_errors["trace"][0] == pytest.approx(0, abs=1e-9)


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
    A = from_matrix(matrix)
    draws = torch.stack(
        [torch.randn(25, generator=generator(3, "xtrace", i), dtype=torch.float64) for i in range(5)], 1
    )
    omega = 5.0 * draws / draws.norm(dim=0)
    wanted = _leave_one_out(matrix, omega)
    without = torch.stack([_leave_one_out(matrix, omega[:, torch.arange(5) != i]).mean() for i in range(5)])
    found = trace(A, products=11, seed=3)
    assert found["trace"][0] == pytest.approx(float(wanted.mean()), rel=1e-10)
    assert found.reading.standard_errors["trace"][0] == pytest.approx(float(without.std() * 4 / 5**0.5), rel=1e-9)
    assert found.reading.cost.hvps == 10


@pytest.mark.parametrize("method", METHODS)
def test_members_are_those_alone_and_blocks_have_traces_of_their_own(method: str) -> None:
    matrices, within = members_of(), torch.arange(43) < 20
    block = from_matrix(matrices).block(within)
    together = trace(block, method=method, products=36)
    for member in range(3):
        part = matrices[member][within][:, within]
        error = together.reading.standard_errors["trace"][member]
        if method == "hutchinson":  # its error is small where its value is: judged by the exact one
            error = float(2 * (part.square().sum() - part.diagonal().square().sum()) / 36) ** 0.5
        assert abs(together["trace"][member] - float(part.trace())) < 4 * error + 1e-9
        single = trace(block[member], method=method, products=36)
        assert single["trace"][0] == pytest.approx(together["trace"][member], rel=1e-9)
        assert single["mean eigenvalue"][0] == pytest.approx(single["trace"][0] / 20)
    assert together.reading.cost.hvps == 3 * 36


@pytest.mark.parametrize("method", METHODS)
def test_members_with_few_active_entries_leave_the_others(method: str) -> None:
    """A sketch with more vectors than active entries holds them all, so the trace is exact; of none it is 0."""
    matrices = members_of()
    kept = torch.ones(3, 43, dtype=torch.bool)
    kept[1, 5:] = False
    kept[2] = False
    block = from_matrix(matrices).block(kept)
    found = trace(block, method=method, products=36)
    alone = trace(block[0], method=method, products=36)
    assert found["trace"][0] == pytest.approx(alone["trace"][0], rel=1e-9)
    error = found.reading.standard_errors["trace"]
    assert found["trace"][1] == pytest.approx(float(matrices[1].diagonal()[:5].sum()), abs=5 * error[1] + 1e-12)
    if method != "hutchinson":
        assert error[1] == pytest.approx(0, abs=1e-12)
    assert (found["trace"][2], error[2]) == (0, 0)
    assert np.isnan(found["mean eigenvalue"][2])


@pytest.mark.parametrize("products", [6, 80, 300])
def test_vectors_are_deleted_in_groups_where_they_are_many(products: int) -> None:
    A = operator_of(np.linspace(-1, 2, 200), members=2)
    found = trace(A, products=products, seed=1)
    assert (np.abs(found["trace"] - 100) < 6 * found.reading.standard_errors["trace"]).all()
    assert found.reading.degrees_of_freedom["trace"] == min(products // 2, 32) - 1


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    whole, broken = from_matrix(members_of()), from_matrix(with_nan(members_of()))
    for method in METHODS:
        found, wanted = (trace(A, method=method, products=12)["trace"] for A in (broken, whole))
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], wanted[[0, 2]], rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "hutch"}, "trace method is one of xtrace, hutchinson, hutch"),
        ({"products": 3}, "trace products must be a whole number of at least 4; got 3"),
        ({"products": 100}, "trace products must be at most twice the number of active entries, 43; got 100"),
        ({"method": "hutch++", "products": 132}, "products must be at most three times the number .* 43; got 132"),
        ({"seed": 1.5}, "trace seed must be a whole number such as 0; got 1.5"),
        ({"method": "hutch++", "products": 5}, "trace products must be a whole number of at least 6; got 5"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        trace(from_matrix(members_of()), **arguments)
