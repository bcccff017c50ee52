"""Lanczos' method on matrices whose spectra are known, and on networks against dense and foreign results."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE, Case, every
from curvature.planted import matrix_of, quadratic
from torch import Tensor, nn

import thalweg as tw
from thalweg import curvature
from thalweg.curvature import Krylov, Operator, top_eigenvalues
from thalweg.errors import UsageError
from thalweg.randomness import generator

SPECTRA = {
    "separate": np.linspace(-3, 10, 40),
    "indefinite": np.array([-9.0, *np.linspace(-1, 1, 30), 5.0]),
    "rank deficient": np.array([0.0] * 25 + [1.0, 2.0, 7.0]),
    "repeated": np.array([1.0] * 10 + [4.0] * 3 + [6.0]),
    "identity": np.ones(12),
    "zero": np.zeros(9),
}


def _grown(matrix: Tensor, steps: int, seed: int = 0) -> Krylov:
    start = torch.randn(1, len(matrix), generator=generator(seed, "start"), dtype=torch.float64)
    krylov = Krylov(lambda vectors: vectors @ matrix, start)
    for _ in range(steps):
        krylov.extend()
    return krylov


@pytest.mark.parametrize("name", SPECTRA)
def test_a_whole_basis_has_the_whole_spectrum_repeated_values_too(name: str) -> None:
    spectrum = SPECTRA[name]
    krylov = _grown(matrix_of(spectrum), len(spectrum))
    values, _, _ = krylov.ritz(0)
    np.testing.assert_allclose(values, np.sort(spectrum), atol=1e-10 * max(1, np.abs(spectrum).max()))
    assert krylov.full[0]


@pytest.mark.parametrize("name", SPECTRA)
def test_the_basis_is_orthonormal_and_makes_the_matrix_tridiagonal(name: str) -> None:
    """A Q = Q T + beta q e^T, the identity that defines the decomposition."""
    matrix, steps = matrix_of(SPECTRA[name]), 8
    krylov = _grown(matrix, steps)
    basis = krylov.basis[0, :steps].T
    torch.testing.assert_close(basis.T @ basis, torch.eye(steps, dtype=torch.float64), rtol=0, atol=1e-13)
    below = krylov.below[0]
    tridiagonal = np.diag(krylov.diagonal[0]) + np.diag(below[:-1], 1) + np.diag(below[:-1], -1)
    rest = torch.zeros_like(basis)
    rest[:, -1] = below[-1] * krylov.basis[0, steps]
    torch.testing.assert_close(matrix @ basis, basis @ torch.tensor(tridiagonal) + rest, rtol=0, atol=1e-12)


def test_residuals_are_those_of_the_vectors() -> None:
    matrix = matrix_of(SPECTRA["separate"])
    krylov = _grown(matrix, 12)
    values, coefficients, residuals = krylov.ritz(0)
    vectors = krylov.vectors(0, coefficients)
    got = torch.linalg.vector_norm(vectors @ matrix - torch.tensor(values)[:, None] * vectors, dim=1)
    np.testing.assert_allclose(got, residuals, atol=1e-12)


def test_members_are_apart() -> None:
    """Each of several members goes as it does alone, also where another is complete early or is not finite."""
    spectra = ("separate", "rank deficient", "identity")
    size = min(len(SPECTRA[name]) for name in spectra)
    matrices = torch.stack([matrix_of(SPECTRA[name][-size:]) for name in spectra])
    matrices = torch.cat([matrices, torch.full((1, size, size), torch.nan, dtype=torch.float64)])
    start = torch.randn(1, size, generator=generator(0, "start"), dtype=torch.float64).expand(4, -1)
    krylov = Krylov(lambda vectors: (matrices @ vectors.unsqueeze(2)).squeeze(2), start)
    for _ in range(6):
        krylov.extend()
    for member in range(3):
        alone = _grown(matrices[member], 6)
        np.testing.assert_allclose(krylov.ritz(member)[0], alone.ritz(0)[0], atol=1e-11)
    assert np.isnan(krylov.ritz(3)[0]).all()


def test_the_longest_eigenvalue_is_not_reported_as_the_largest() -> None:
    problem = quadratic(SPECTRA["indefinite"])
    member = problem.initialize(1)
    found = {which: top_eigenvalues(problem, member, 2, which=which, tolerance=1e-9) for which in curvature.ENDS}
    np.testing.assert_allclose(found["largest"].values[0], [5, 1], atol=1e-8)
    np.testing.assert_allclose(found["smallest"].values[0], [-9, -1], atol=1e-8)
    np.testing.assert_allclose(found["magnitude"].values[0], [-9, 5], atol=1e-8)


@pytest.mark.parametrize("tolerance", [0.1, 1e-2, 1e-4])
def test_an_eigenvalue_lies_as_near_as_asked_and_none_is_overestimated(tolerance: float) -> None:
    """Over many spectra that fall slowly, as those of networks do; two may be as near as the tolerance."""
    kept = []
    for seed in range(20):
        spectrum = 1 / np.arange(1, 121) ** 1.5 * np.random.default_rng(seed).uniform(0.7, 1.3, 120)
        problem = quadratic(spectrum)
        found = top_eigenvalues(problem, problem.initialize(1), 4, tolerance=tolerance, seed=seed)
        true = np.sort(spectrum)[::-1][:4]
        nearest = np.abs(spectrum[:, None] - found.values[0]).min(0)
        assert (nearest <= found.residuals[0] + 1e-12).all()
        assert (found.residuals[0] <= tolerance * found.values[0]).all()
        assert (found.values[0] <= true + 1e-12).all()  # Cauchy's interlacing
        assert (found.values[0] >= (1 - 3 * tolerance) * true).all()
        kept.append(found.reading.cost.hvps)
    assert max(kept) < 60


def test_vectors_have_length_one_and_the_curvature_of_their_value() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    found = top_eigenvalues(problem, population, 3, tolerance=1e-8)
    operator = Operator(problem, population)
    for rank in range(3):
        v = found.vectors[:, rank]
        torch.testing.assert_close(v.norm(dim=1), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(operator(v), torch.tensor(found.values[:, rank, None]) * v, rtol=0, atol=1e-4)


@every([CASE["mlp"], CASE["batchnorm"], CASE["attention"], CASE["two outputs"], CASE["recurrent"]])
def test_networks_against_dense_matrices(case: Case) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(2)
    for matrix in ("hessian", "gauss_newton", "fisher"):
        found = top_eigenvalues(problem, population, 2, matrix=matrix, tolerance=1e-9)
        for member in range(2):
            operator = Operator(problem, population[member], matrix)
            identity = torch.eye(operator.shape[1], dtype=torch.float64)
            dense = torch.cat([operator(row[None]) for row in identity])
            wanted = torch.linalg.eigvalsh((dense + dense.T) / 2).flip(0)[:2]
            np.testing.assert_allclose(found.values[member], wanted, rtol=1e-7)


def _rows(count: int, features: int) -> Tensor:
    return torch.randn(count, features, generator=generator(1, "rows"), dtype=torch.float64)


def test_closed_forms_of_linear_logistic_and_softmax_models() -> None:
    x = _rows(50, 4)
    with_ones = torch.cat([x, torch.ones(50, 1, dtype=torch.float64)], 1)
    linear = tw.Problem(lambda: nn.Linear(4, 1), (x, x[:, :1]), "squared_error", dtype=torch.float64)
    wanted = torch.linalg.eigvalsh(2 * with_ones.T @ with_ones / 50).flip(0)
    np.testing.assert_allclose(_all(linear, 5), wanted, rtol=1e-8)
    labels = (x[:, :1] > 0).double()
    logistic = tw.Problem(lambda: nn.Linear(4, 1), (x, labels), "logistic", dtype=torch.float64)
    share = torch.sigmoid(logistic.initialize(1).module(0)(x)).detach()
    wanted = torch.linalg.eigvalsh(with_ones.T @ (share * (1 - share) * with_ones) / 50).flip(0)
    np.testing.assert_allclose(_all(logistic, 5), wanted, rtol=1e-8)
    softmax = tw.Problem(lambda: nn.Linear(4, 3), (x, torch.arange(50) % 3), dtype=torch.float64)
    p = torch.softmax(softmax.initialize(1).module(0)(x), 1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    kronecker = torch.einsum("nij,na,nb->iajb", inner, with_ones, with_ones).reshape(15, 15) / 50
    wanted = torch.linalg.eigvalsh(kronecker).flip(0)
    np.testing.assert_allclose(_all(softmax, 10), wanted[:10], rtol=1e-8)


def _all(problem: tw.Problem, k: int) -> np.ndarray:
    return top_eigenvalues(problem, problem.initialize(1), k, tolerance=1e-12).values[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_products_agree_with_curvlinops() -> None:
    import curvlinops

    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 3), (_rows(30, 4), torch.arange(30) % 3), dtype=torch.float64)
    population = problem.initialize([3])
    module, train = population.module(0), problem.data.train
    batches = [(train.inputs[:20], train.targets[:20]), (train.inputs[20:], train.targets[20:])]
    parameters = list(module.parameters())
    v = torch.randn(population.theta.shape, generator=generator(2, "vector"), dtype=torch.float64)
    for matrix, theirs in (
        ("hessian", curvlinops.HessianLinearOperator),
        ("gauss_newton", curvlinops.GGNLinearOperator),
        ("fisher", curvlinops.EFLinearOperator),
    ):
        other = theirs(module, nn.CrossEntropyLoss(), parameters, batches)
        wanted = torch.as_tensor(other @ v[0])
        torch.testing.assert_close(Operator(problem, population, matrix)(v)[0], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"k": 0}, "top_eigenvalues k must be a whole number of at least 1; got 0"),
        ({"k": 44}, "k must be at most the number of parameters seen, 43; got 44"),
        ({"which": "LM"}, "top_eigenvalues which is one of largest, smallest, magnitude; got 'LM'"),
        ({"tolerance": 0}, "tolerance must be above 0; got 0"),
        ({"seed": 1.5}, "top_eigenvalues seed must be a whole number such as 0; got 1.5"),
        ({"most": 1.5}, "top_eigenvalues most must be a whole number"),
        ({"k": 5, "most": 3}, "top_eigenvalues most must be a whole number of at least 5; got 3"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], sentence: str) -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match=sentence):
        top_eigenvalues(problem, problem.initialize(1), **arguments)


def test_members_of_few_parameters_do_not_end_the_search_of_others() -> None:
    """Each is what it is alone; NaN stands for what a member does not have."""
    problem = CASE["mlp"].problem(dtype=torch.float64)
    whole = problem.initialize(4)
    kept = torch.ones(4, 43, dtype=torch.bool)
    kept[1, 7:] = False
    kept[2] = False
    population = whole.with_mask(kept)
    found = top_eigenvalues(problem, population, 10, tolerance=1e-8)
    for member in (0, 3):
        alone = top_eigenvalues(problem, population[member], 10, tolerance=1e-8)
        np.testing.assert_allclose(found.values[member], alone.values[0], rtol=1e-7)
        assert (found.residuals[member] <= 1e-8 * found.values[member]).all()
    few = top_eigenvalues(problem, population[1], 7)
    np.testing.assert_allclose(found.values[1, :7], few.values[0], rtol=1e-9, atol=1e-12)
    for values in (found.values[1, 7:], found.residuals[1, 7:], found.vectors[1, 7:], found.values[2]):
        assert np.isnan(np.asarray(values)).all()
    assert found.vectors[1, :7].isfinite().all()
    with pytest.raises(UsageError, match="k must be at most the number of parameters seen, 7; got 8"):
        top_eigenvalues(problem, population[[1, 2]], 8)


def test_values_of_nearly_zero_are_small_against_the_whole_matrix() -> None:
    """The smallest of a matrix that curves nowhere downwards are found, not sought up to the last product."""
    spectrum = np.concatenate([np.zeros(60), np.geomspace(1e-9, 1, 60)])
    problem = quadratic(spectrum)
    found = top_eigenvalues(problem, problem.initialize(1), 3, which="smallest", most=115)
    assert found.reading.cost.hvps < 60
    assert (np.abs(found.values) < 1e-4).all()
    assert (found.residuals <= 1e-2 * 1e-3 * 1.01).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_residual_is_below_rounding(dtype: torch.dtype) -> None:
    problem = CASE["mlp"].problem(dtype=dtype)
    found = top_eigenvalues(problem, problem.initialize(2), 2, tolerance=1e-30, most=43)
    assert (found.residuals >= torch.finfo(dtype).eps * found.values[:, :1]).all()
    exact = top_eigenvalues(CASE["mlp"].problem(dtype=torch.float64), problem.initialize(2).to(dtype=torch.float64), 2)
    assert (np.abs(found.values - exact.values) <= found.residuals * 20 + exact.residuals).all()


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    theta = population.theta.clone()
    theta[1, 5] = torch.nan
    found = top_eigenvalues(problem, population.with_theta(theta), 2, tolerance=1e-6)
    alone = top_eigenvalues(problem, population, 2, tolerance=1e-6)
    assert np.isnan(found.values[1]).all()
    np.testing.assert_allclose(found.values[[0, 2]], alone.values[[0, 2]], rtol=1e-6)
