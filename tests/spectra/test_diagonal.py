"""Diagonals: unbiased, with standard errors that cover."""

import numpy as np
import pytest
import torch
from spectra.planted import members_of, with_nan

from thalweg.errors import UsageError
from thalweg.spectra import diagonal, from_matrix


def test_a_diagonal_matrix_has_its_diagonal_at_once() -> None:
    values = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = diagonal(from_matrix(torch.diag(values)), products=2)
    torch.testing.assert_close(found.values[0], values)
    assert not found.standard_errors.any()
    np.testing.assert_array_equal(found["diagonal"], found.values)


def test_entries_lie_within_their_errors() -> None:
    matrices = members_of()
    found = diagonal(from_matrix(matrices), products=400)
    off = (found.values - matrices.diagonal(dim1=1, dim2=2)).abs()
    assert (off < 5 * found.standard_errors).all()
    alone = diagonal(from_matrix(matrices)[1], products=400)
    torch.testing.assert_close(alone.values[0], found.values[1])
    np.testing.assert_array_equal(found.reading.standard_errors["diagonal"], found.standard_errors)
    assert found.reading.degrees_of_freedom["diagonal"] == 399


def test_the_variance_of_an_entry_is_the_papers() -> None:
    matrix = members_of(12, 1)
    values = torch.stack([diagonal(from_matrix(matrix), products=2, seed=seed).values[0] for seed in range(800)])
    others = (matrix[0] - torch.diag(matrix[0].diagonal())).square().sum(1)
    torch.testing.assert_close(values.var(0), others / 2, rtol=0.3, atol=0)


def test_what_is_not_active_or_not_finite() -> None:
    within = torch.arange(43) < 9
    found = diagonal(from_matrix(with_nan(members_of())).block(within))
    assert not found.values[[0, 2]][:, ~within].any()
    assert found.values[1].isnan().any()
    assert found.values[[0, 2]].isfinite().all()
    assert found.figure().panels[0].marks[0].values.size == np.isfinite(found["diagonal"]).sum()


def test_what_cannot_be_meant() -> None:
    A = from_matrix(members_of())
    with pytest.raises(UsageError, match="diagonal products must be a whole number of at least 2; got 1"):
        diagonal(A, products=1)
    with pytest.raises(UsageError, match="diagonal seed must be a whole number"):
        diagonal(A, seed=0.5)
    with pytest.raises(UsageError, match="No entry of the diagonal is finite"):
        diagonal(from_matrix(torch.full((1, 2, 2), torch.nan))).figure()
