"""Eigenvalues at the ends of spectra that are known."""

from typing import Any

import numpy as np
import pytest
import torch
from spectra.planted import SPECTRA, members_of, operator_of, with_nan

from thalweg.errors import UsageError
from thalweg.spectra import from_matrix, top_eigenvalues
from thalweg.spectra.eigenpairs import ENDS

MATRICES = members_of()


def test_the_largest_in_magnitude_is_not_reported_as_the_largest() -> None:
    A = operator_of(SPECTRA["indefinite"])
    found = {which: top_eigenvalues(A, 2, which=which, tolerance=1e-9) for which in ENDS}
    np.testing.assert_allclose(found["largest"].values[0], [5, 1], atol=1e-8)
    np.testing.assert_allclose(found["smallest"].values[0], [-9, -1], atol=1e-8)
    np.testing.assert_allclose(found["magnitude"].values[0], [-9, 5], atol=1e-8)


@pytest.mark.parametrize("tolerance", [0.1, 1e-2, 1e-4])
def test_an_eigenvalue_lies_as_near_as_asked_and_none_is_overestimated(tolerance: float) -> None:
    """Over many spectra that fall slowly, as those of networks do; two may be as near as the tolerance."""
    kept = []
    for seed in range(20):
        spectrum = 1 / np.arange(1, 121) ** 1.5 * np.random.default_rng(seed).uniform(0.7, 1.3, 120)
        found = top_eigenvalues(operator_of(spectrum), 4, tolerance=tolerance, seed=seed)
        true = np.sort(spectrum)[::-1][:4]
        nearest = np.abs(spectrum[:, None] - found.values[0]).min(0)
        assert (nearest <= found.residuals[0] + 1e-12).all()
        assert (found.residuals[0] <= tolerance * found.values[0]).all()
        assert (found.values[0] <= true + 1e-12).all()  # Cauchy's interlacing
        assert (found.values[0] >= (1 - 3 * tolerance) * true).all()
        assert found.converged.all()
        kept.append(found.reading.cost.hvps)
    assert max(kept) < 60


def test_vectors_have_length_one_and_belong_to_their_values() -> None:
    A = from_matrix(MATRICES)
    found = top_eigenvalues(A, 3, tolerance=1e-8)
    for rank in range(3):
        v = found.vectors[:, rank]
        torch.testing.assert_close(v.norm(dim=1), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(A(v), torch.tensor(found.values[:, rank, None]) * v, rtol=0, atol=1e-6)


def test_it_says_whether_it_came_as_far_as_asked() -> None:
    """Of members that differ: one is complete after a product, another needs many."""
    matrices = torch.stack([torch.eye(43, dtype=torch.float64), MATRICES[0], MATRICES[0]])
    A = from_matrix(with_nan(matrices, 2))
    short = top_eigenvalues(A, 1, tolerance=1e-8, max_products=6)
    assert short.converged.tolist() == [True, False, False]
    assert short["converged"].tolist() == [True, False, False]
    assert (short.residuals[1] > 1e-8 * short.values[1]).all()
    assert top_eigenvalues(A, 1, tolerance=1e-8).converged.tolist() == [True, True, False]


def test_members_with_few_active_entries_do_not_end_the_search_of_others() -> None:
    """Each is what it is alone; NaN stands for what a member does not have."""
    A = from_matrix(members_of(members=4))
    kept = torch.ones(4, 43, dtype=torch.bool)
    kept[1, 7:] = False
    kept[2] = False
    block = A.block(kept)
    found = top_eigenvalues(block, 10, tolerance=1e-8)
    for member in (0, 3):
        alone = top_eigenvalues(block[member], 10, tolerance=1e-8)
        np.testing.assert_allclose(found.values[member], alone.values[0], rtol=1e-7)
        assert (found.residuals[member] <= 1e-8 * found.values[member]).all()
    few = top_eigenvalues(block[1], 7)
    np.testing.assert_allclose(found.values[1, :7], few.values[0], rtol=1e-9, atol=1e-12)
    for values in (found.values[1, 7:], found.residuals[1, 7:], found.vectors[1, 7:], found.values[2]):
        assert np.isnan(np.asarray(values)).all()
    assert found.vectors[1, :7].isfinite().all()
    assert found.converged.tolist() == [True, True, False, True]
    with pytest.raises(UsageError, match="k must be at most the number of active entries, 7; got 8"):
        top_eigenvalues(block[[1, 2]], 8)


def test_values_of_nearly_zero_are_small_against_the_whole_matrix() -> None:
    """The smallest of a matrix without negative ones are found, not sought up to the last product."""
    spectrum = np.concatenate([np.zeros(60), np.geomspace(1e-9, 1, 60)])
    found = top_eigenvalues(operator_of(spectrum), 3, which="smallest", max_products=115)
    assert found.reading.cost.hvps < 60
    assert (np.abs(found.values) < 1e-4).all()
    assert (found.residuals <= 1e-2 * 1e-3 * 1.01).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_residual_is_below_rounding(dtype: torch.dtype) -> None:
    found = top_eigenvalues(from_matrix(MATRICES.to(dtype)), 2, tolerance=1e-30, max_products=43)
    assert (found.residuals >= torch.finfo(dtype).eps * found.values[:, :1]).all()
    exact = top_eigenvalues(from_matrix(MATRICES), 2)
    assert (np.abs(found.values - exact.values) <= found.residuals * 20 + exact.residuals).all()


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    found = top_eigenvalues(from_matrix(with_nan(MATRICES)), 2, tolerance=1e-6)
    alone = top_eigenvalues(from_matrix(MATRICES), 2, tolerance=1e-6)
    assert np.isnan(found.values[1]).all()
    np.testing.assert_allclose(found.values[[0, 2]], alone.values[[0, 2]], rtol=1e-6)


def test_the_figure_has_a_line_a_member_over_ranks() -> None:
    found = top_eigenvalues(from_matrix(MATRICES), 3)
    lines = found.figure().panels[0].marks
    assert [line.label for line in lines] == ["member 0", "member 1", "member 2"]
    for line, values in zip(lines, found.values, strict=True):
        assert line.x.tolist() == [1, 2, 3]
        np.testing.assert_allclose(line.y, values)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"k": 0}, "top_eigenvalues k must be a whole number of at least 1; got 0"),
        ({"k": 44}, "k must be at most the number of active entries, 43; got 44"),
        ({"which": "LM"}, "top_eigenvalues which is one of largest, smallest, magnitude; got 'LM'"),
        ({"tolerance": 0}, "tolerance must be above 0; got 0"),
        ({"seed": 1.5}, "top_eigenvalues seed must be a whole number such as 0; got 1.5"),
        ({"max_products": 1.5}, "top_eigenvalues max_products must be a whole number"),
        ({"k": 5, "max_products": 3}, "top_eigenvalues max_products must be a whole number of at least 5; got 3"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        top_eigenvalues(from_matrix(MATRICES), **arguments)
