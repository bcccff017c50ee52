"""Lanczos' method on matrices whose spectra are known."""

import numpy as np
import pytest
import torch
from spectra.planted import SPECTRA, matrix_of
from torch import Tensor

from thalweg.randomness import generator
from thalweg.spectra import Krylov


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
    np.testing.assert_allclose(krylov.ritz(0).values, np.sort(spectrum), atol=1e-10 * max(1, np.abs(spectrum).max()))
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
    pairs = krylov.ritz(0)
    vectors = krylov.vectors(0, pairs.coefficients)
    got = torch.linalg.vector_norm(vectors @ matrix - torch.tensor(pairs.values)[:, None] * vectors, dim=1)
    np.testing.assert_allclose(got, pairs.residuals, atol=1e-12)


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
        np.testing.assert_allclose(krylov.ritz(member).values, alone.ritz(0).values, atol=1e-11)
    assert np.isnan(krylov.ritz(3).values).all()
