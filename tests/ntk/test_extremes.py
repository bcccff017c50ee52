"""Both ends of a spectrum that is known."""

import numpy as np
import pytest
import torch
from spectra.planted import matrix_of, operator_of, with_nan

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ntk import extremes
from thalweg.spectra import from_matrix

FALLING = np.geomspace(1e-4, 1e3, 60)


def test_both_ends_and_their_ratio() -> None:
    found = extremes(operator_of(FALLING), tolerance=1e-3)
    assert found.converged.all()
    np.testing.assert_allclose(found["largest"], FALLING[-1], rtol=1e-6)
    np.testing.assert_allclose(found["smallest"], FALLING[0], rtol=2e-3)
    np.testing.assert_allclose(found["log10 condition number"], 7, atol=1e-3)
    assert not found["singular to working precision"].any()


def test_residuals_bound_the_error() -> None:
    for most in (5, 15, 30):
        found = extremes(operator_of(FALLING), tolerance=1e-9, max_products=most)
        for end in ("largest", "smallest"):
            nearest = np.abs(FALLING - found[end][0]).min()
            assert nearest <= found[f"{end} residual"][0] + 1e-11
    assert not extremes(operator_of(FALLING), max_products=5).converged.any()


def test_the_whole_space_is_exact() -> None:
    found = extremes(operator_of(FALLING), tolerance=1e-14, max_products=60)
    np.testing.assert_allclose(found["smallest"], FALLING[0], rtol=1e-6)
    assert found.converged.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_singular_matrix_is_said_to_be_so(dtype: torch.dtype) -> None:
    matrix = matrix_of(np.array([0.0, 0.0, 1.0, 2.0, 7.0, 9.0])).to(dtype)
    found = extremes(from_matrix(matrix))
    assert found["singular to working precision"].all()
    assert np.isfinite(found["log10 condition number"]).all()
    assert found["log10 condition number"][0] == pytest.approx(-np.log10(6 * torch.finfo(dtype).eps), abs=0.1)
    assert "1 of 1 are singular to working precision." in found.reading.notes


def test_a_small_but_resolved_eigenvalue_is_not_singular() -> None:
    matrix = matrix_of(np.array([1e-9, 1.0, 2.0, 7.0]))
    assert not extremes(from_matrix(matrix))["singular to working precision"].any()
    assert extremes(from_matrix(matrix.float()))["singular to working precision"].all()


def test_a_member_that_is_not_finite_spoils_no_other() -> None:
    matrices = torch.stack([matrix_of(FALLING, seed) for seed in range(3)])
    found = extremes(from_matrix(with_nan(matrices)), tolerance=1e-3)
    assert np.isnan(found["smallest"][1])
    assert found.converged.tolist() == [True, False, True]
    np.testing.assert_allclose(found["smallest"][[0, 2]], FALLING[0], rtol=2e-3)


def test_of_a_kernel_it_is_the_dense_one() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits(), dtype=torch.float64)
    A = tw.ntk.operator(problem, problem.initialize(2), on=tw.Sample("train", 6))
    values = torch.linalg.eigvalsh(tw.spectra.as_matrix(A))
    found = extremes(A, tolerance=1e-6)
    np.testing.assert_allclose(found["smallest"], values[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found["largest"], values[:, -1], rtol=1e-6)


def test_wrong_arguments_are_refused() -> None:
    A = operator_of(FALLING)
    with pytest.raises(UsageError, match="tolerance must be above 0"):
        extremes(A, tolerance=0)
    with pytest.raises(UsageError, match="max_products"):
        extremes(A, max_products=0)


def test_the_figure_has_a_bar_a_member() -> None:
    found = extremes(operator_of(FALLING, members=2))
    assert found.figure().panels[0].marks[0].labels == ("0", "1")
