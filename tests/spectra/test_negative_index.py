"""The negative index against planted spectra and the dense matrix."""

from typing import Any

import numpy as np
import pytest
import torch
from spectra.planted import matrix_of, members_of, operator_of, with_nan

from thalweg.errors import UsageError
from thalweg.spectra import Operator, from_matrix, negative_index

SHARES = ("negative", "near zero")
ENDS = ("smallest eigenvalue", "largest eigenvalue")
PLANTED = {
    "positive": np.linspace(0.5, 3, 12),
    "indefinite": np.array([-0.5, -1e-3, 0.2, 1.0, 2.0]),
    "largest in magnitude downwards": np.array([-7.0, -0.1, 1.0, 2.0]),
    "without full rank": np.concatenate([[-1.0], np.zeros(6), [2.0, 3.0, 4.0]]),
    "zero": np.zeros(4),
}


@pytest.mark.parametrize("values", PLANTED.values(), ids=PLANTED)
def test_planted_spectra_are_counted_exactly(values: np.ndarray) -> None:
    found = negative_index(operator_of(values, members=2))
    for member in range(2):
        assert found["negative"][member] == (values < 0).mean()
        assert found["near zero"][member] == (values == 0).mean()
        got = [found[end][member] for end in ENDS]
        assert got == pytest.approx([values.min(), values.max()], rel=1e-12, abs=1e-14)
    assert not any(found.reading.standard_errors[share].any() for share in SHARES)
    assert found.reading.cost.hvps == 2 * len(values)


def test_rounding_in_single_precision_is_zero() -> None:
    """Zeros come out as about 1e-7 of the largest eigenvalue, of either sign."""
    A = from_matrix(matrix_of(PLANTED["without full rank"]).float())
    assert negative_index(A)["negative"][0] == 0.1
    assert negative_index(A)["near zero"][0] == 0.6
    rounded = negative_index(A, threshold=0.0)
    assert rounded["negative"][0] > 0.1 or rounded["near zero"][0] < 0.6


def test_the_threshold_is_a_share_of_the_largest_in_magnitude() -> None:
    A = operator_of(np.array([-10.0, -0.5, 0.5, 2.0]))
    assert negative_index(A, threshold=0.049)["negative"][0] == 0.5
    above = negative_index(A, threshold=0.051)
    assert (above["negative"][0], above["near zero"][0]) == (0.25, 0.5)


def test_only_active_entries_count() -> None:
    """Of a diagonal matrix, blocks leave some entries; every member has its own."""
    A = from_matrix(torch.diag(torch.tensor([-3.0, -2.0, 0.0, 1.0, 4.0], dtype=torch.float64)).expand(2, -1, -1))
    within = torch.tensor([[True, False, True, True, False], [False, True, False, True, True]])
    for options in ({}, {"dense_up_to": 0, "steps": 5, "probes": 3}):
        found = negative_index(A.block(within), **options)
        assert found["smallest eigenvalue"] == pytest.approx([-3, -2])
        assert found["largest eigenvalue"] == pytest.approx([1, 4])
    exact = negative_index(A.block(within))
    assert exact["negative"] == pytest.approx([1 / 3, 1 / 3])
    assert exact["near zero"] == pytest.approx([1 / 3, 0])
    part = negative_index(A.block(within[0]))
    assert part["near zero"] == pytest.approx([1 / 3, 1 / 3])
    assert part.reading.cost.hvps == 2 * 3


def test_signs_do_not_change_with_a_diagonal_scaling() -> None:
    """Sylvester's law: S H S has as many negative eigenvalues as H."""
    A = operator_of(np.linspace(-2, 3, 30), members=3)
    s = torch.rand(3, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.5
    assert negative_index(A.scaled(s))["negative"].tolist() == negative_index(A)["negative"].tolist() == [0.4] * 3


def test_a_small_block_of_a_large_operator_takes_little_memory() -> None:
    """The whole matrix of a million entries would take 8 TB."""
    n = 10**6
    A = Operator(lambda v: -2 * v, shape=(1, n), dtype=torch.float64)
    found = negative_index(A.block(torch.arange(n) < 3))
    assert found["negative"].tolist() == [1.0]


def test_quadrature_agrees_with_the_dense_matrix_within_its_errors() -> None:
    values = np.concatenate([np.linspace(-2, -1, 45), np.zeros(30), np.linspace(1, 3, 75)])
    A = operator_of(values)
    found = negative_index(A, dense_up_to=149, steps=40, probes=40)
    for share, wanted in zip(SHARES, (0.3, 0.2), strict=True):
        error = found.reading.standard_errors[share][0]
        assert 0 < error < 0.05
        assert abs(found[share][0] - wanted) <= 4 * error
    assert [found[end][0] for end in ENDS] == pytest.approx([-2, 3], rel=1e-3)
    assert found.reading.notes[0].startswith("By Lanczos quadrature, 40 probes of 40 steps for 150 active entries")
    assert found.reading.cost.hvps == 40 * 40
    single = negative_index(A, dense_up_to=0, steps=5, probes=1)
    assert np.isnan(single.reading.standard_errors["negative"]).all()


def test_members_come_in_parts_that_fit_the_memory_budget() -> None:
    """Whoever selects them, and each is what it is alone."""
    matrices = members_of()
    parts: list[int] = []

    def some(members: Any) -> Operator:
        parts.append(len(members))
        return from_matrix(matrices[members])

    product = lambda v: torch.einsum("mij,mj->mi", matrices, v)  # noqa: E731
    options: dict[str, Any] = {"shape": (3, 43), "dtype": torch.float64}
    whole = negative_index(from_matrix(matrices))
    for small in (
        Operator(product, **options, memory_budget=2 * 3 * 43**2 * 8, select=some),
        Operator(product, **options, memory_budget=1),
    ):
        found = negative_index(small)
        for name in (*SHARES, *ENDS):
            assert found[name] == pytest.approx(whole[name], rel=1e-10)
        assert found.reading.cost.hvps == whole.reading.cost.hvps == 3 * 43
    assert parts == [2, 1]


@pytest.mark.parametrize("options", [{}, {"dense_up_to": 0, "steps": 6, "probes": 2}], ids=["dense", "quadrature"])
def test_a_member_that_is_not_finite_has_no_index(options: dict[str, int]) -> None:
    found = negative_index(from_matrix(with_nan(members_of())), **options)
    alone = negative_index(from_matrix(members_of())[2], **options)
    for name in (*SHARES, *ENDS):
        assert np.isnan(found[name]).tolist() == [False, True, False]
        assert found[name][2] == pytest.approx(alone[name][0], rel=1e-9)
    for share in SHARES:
        assert np.isnan(found.reading.standard_errors[share]).tolist() == [False, True, False]


def test_what_cannot_be_meant() -> None:
    A = from_matrix(members_of())
    with pytest.raises(UsageError, match=r"negative_index threshold must be at least 0 and below 1; got 1\.5"):
        negative_index(A, threshold=1.5)
    with pytest.raises(UsageError, match="must be a share of the largest eigenvalue such as 1e-6; got 'auto'"):
        negative_index(A, threshold="auto")
    with pytest.raises(UsageError, match="dense_up_to must be a whole number of at least 0; got -1"):
        negative_index(A, dense_up_to=-1)
    with pytest.raises(UsageError, match="negative_index probes must be a whole number of at least 1; got 0"):
        negative_index(A, dense_up_to=0, probes=0)
