"""Operators of dense matrices: products, active entries, blocks, scalings, members, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from spectra.planted import members_of, with_nan
from torch import Tensor

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.spectra import Operator, as_matrix, diagonal, from_matrix, negative_index, top_eigenvalues, trace

MATRICES = members_of(7)
MASK = torch.arange(7) % 3 != 1


def _vectors(members: int = 3, n: int = 7) -> Tensor:
    return torch.randn(members, n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def _own(matrix: Tensor = MATRICES, **options: Any) -> Operator:
    """The operator of a function of one's own."""
    options = {"shape": tuple(matrix.shape[:2]), "dtype": matrix.dtype} | options
    return Operator(lambda v: torch.einsum("mij,mj->mi", matrix, v), **options)


def test_products_are_those_of_the_matrices_and_are_counted() -> None:
    vectors = _vectors()
    for A in (from_matrix(MATRICES), _own()):
        assert A.products == 0  # those that check it do not count
        torch.testing.assert_close(A(vectors), (MATRICES @ vectors[:, :, None])[:, :, 0])
        assert A.products == 1
        torch.testing.assert_close(as_matrix(A), MATRICES)
        assert A.products == 8
    assert from_matrix(MATRICES[0]).shape == (1, 7)


def test_only_active_entries_are_acted_on() -> None:
    """Whatever others hold, of each member its own."""
    mask = torch.stack([MASK, ~MASK, torch.ones(7, dtype=torch.bool)])
    A, vectors = _own(active=mask), _vectors()
    assert torch.equal(A.active, mask)
    wanted = (MATRICES @ (vectors * mask)[:, :, None])[:, :, 0] * mask
    torch.testing.assert_close(A(vectors), wanted)
    torch.testing.assert_close(A(vectors + 7 * ~mask), wanted)
    torch.testing.assert_close(as_matrix(A), MATRICES * mask[:, :, None] * mask[:, None, :])
    for draw in (A.gaussian(torch.Generator()), A.rademacher(torch.Generator())):
        assert torch.equal(draw != 0, mask)


def test_random_vectors_are_the_same_for_every_member_whoever_is_there() -> None:
    A = from_matrix(MATRICES)
    for kind in ("gaussian", "rademacher"):
        draw = getattr(A, kind)(torch.Generator().manual_seed(3))
        alone = getattr(A[1], kind)(torch.Generator().manual_seed(3))
        assert torch.equal(draw, alone.expand(3, -1))
    assert set(A.rademacher(torch.Generator()).flatten().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("each", [False, True])
def test_a_block_is_an_operator(each: bool) -> None:
    within = torch.stack([MASK, ~MASK, MASK]) if each else MASK
    A = from_matrix(MATRICES)
    block = A.block(within)
    inside = within.expand(3, -1)
    torch.testing.assert_close(as_matrix(block), MATRICES * inside[:, :, None] * inside[:, None, :])
    for member in range(3):
        part = MATRICES[member][inside[member]][:, inside[member]]
        wanted = torch.linalg.eigvalsh(part).flip(0)[:2]
        np.testing.assert_allclose(top_eigenvalues(block, 2, tolerance=1e-10)["eigenvalue"][member], wanted, rtol=1e-8)
    inner = block.block(torch.arange(7) < 4)  # blocks of blocks are what both leave
    assert torch.equal(inner.active, inside & (torch.arange(7) < 4))


def test_a_scaling_is_s_a_s_and_where_it_is_zero_nothing_is_active() -> None:
    s = _vectors()
    s[0, 4] = 0
    A = from_matrix(MATRICES)
    scaled = A.scaled(s)
    torch.testing.assert_close(as_matrix(scaled), s[:, :, None] * MATRICES * s[:, None, :])
    assert torch.equal(scaled.active, s != 0)
    once = A.scaled(s[1])
    torch.testing.assert_close(as_matrix(once)[2], s[1][:, None] * MATRICES[2] * s[1])
    assert A.products == scaled.products + once.products


@pytest.mark.parametrize("kind", ["whole", "own", "active", "block", "scaled", "block of scaled"])
def test_some_members_are_an_operator(kind: str) -> None:
    """Whether a function of one's own can be asked for them, or is given zeros for the others."""
    scaling = _vectors()
    A = {
        "whole": from_matrix(MATRICES),
        "own": _own(),
        "active": _own(active=MASK),
        "block": from_matrix(MATRICES).block(torch.stack([MASK, ~MASK, MASK])),
        "scaled": _own().scaled(scaling),
        "block of scaled": from_matrix(MATRICES).scaled(scaling).block(MASK),
    }[kind]
    whole = as_matrix(A)
    assert [len(one) for one in A] == [1, 1, 1]
    for which, places in ((1, [1]), (-1, [2]), (slice(1, None), [1, 2]), ([2, 0], [2, 0])):
        some = A[which]
        assert len(some) == len(places)
        torch.testing.assert_close(as_matrix(some), whole[places])
        assert torch.equal(some.active, A.active[places])


def test_several_measurements_share_an_operator_and_each_has_its_own_cost() -> None:
    A = from_matrix(MATRICES)
    costs = [trace(A, products=8).reading.cost.hvps, diagonal(A, products=5).reading.cost.hvps]
    found = top_eigenvalues(A, 1)
    assert costs == [24, 15]
    assert found.reading.cost.hvps == 3 * (A.products - 13)
    assert trace(A, products=8)["trace"] == pytest.approx(trace(from_matrix(MATRICES), products=8)["trace"])


def test_readings_say_on_what_they_were_taken() -> None:
    A = _own(name="kernel", dimension="outputs", sample_size=11, notes=["By hand."])
    for reading in (
        trace(A, products=4).reading,
        diagonal(A, products=4).reading,
        top_eigenvalues(A, 2).reading,
        tw.spectra.density(A, steps=3, probes=2).reading,
        negative_index(A).reading,
        trace(A.block(MASK).scaled(torch.ones(7)), products=4).reading,
    ):
        assert reading.sample_size == 11
        assert reading.notes[-1] == "By hand."
        assert reading.provenance.dtype == "float64"
        assert reading.name.endswith(" of the kernel") or "of the scaled block of the kernel" in reading.name
    for found in (trace(A, products=4), negative_index(A)):
        assert found.figure().panels[0].marks[0].y.tolist() == next(iter(found.reading.arrays.values())).tolist()
    assert diagonal(A, products=4).reading.dims["diagonal"] == ("member", "outputs")


def test_a_member_that_is_not_finite_leaves_the_others() -> None:
    A = from_matrix(with_nan(MATRICES))
    found = A(_vectors())
    assert found[1].isnan().any()
    torch.testing.assert_close(found[[0, 2]], from_matrix(MATRICES)(_vectors())[[0, 2]])
    own = _own(with_nan(MATRICES))  # the check passes it over
    assert own(_vectors())[1].isnan().any()


class Counter:
    """A product that is not what it should be."""

    def __init__(self, kind: str) -> None:
        self.kind, self.calls = kind, 0

    def __call__(self, v: Tensor) -> Tensor:
        self.calls += 1
        if self.kind == "not symmetric":
            return v @ torch.triu(torch.ones(v.shape[1], v.shape[1], dtype=v.dtype))
        if self.kind == "random":
            return 2 * v + 1e-3 * torch.randn(v.shape, generator=torch.Generator().manual_seed(self.calls)).to(v)
        if self.kind == "not linear":
            return v.abs() * v
        return v[:, :-1]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("not symmetric", r"must be symmetric, but of member 0 <u, A v> is .*; write \(A v \+ A\^T v\) / 2"),
        ("random", "must be linear and the same at every call, but that of member 0"),
        ("not linear", "must be linear and the same at every call, but that of member 0"),
        ("short", r"returns vectors \(members, entries\) of shape \(2, 6\); got \(2, 5\)"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_no_symmetric_matrix_are_refused(kind: str, sentence: str, dtype: torch.dtype) -> None:
    product = Counter(kind)
    with pytest.raises(UsageError, match=sentence):
        Operator(product, shape=(2, 6), dtype=dtype)
    assert product.calls <= 3
    Operator(product, shape=(2, 6), dtype=dtype, check=False)
    assert product.calls <= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_is_not_refused(dtype: torch.dtype) -> None:
    """Of badly conditioned matrices, made of two that do not commute."""
    for seed in range(5):
        half = torch.randn(300, 300, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
        sizes = torch.logspace(-6, 6, 300, dtype=dtype)
        Operator(lambda v, half=half, sizes=sizes: ((v @ half) * sizes) @ half.T, shape=(1, 300), dtype=dtype)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Operator(3, shape=(1, 2)), "Operator product must be a function v -> A v; got 3"),
        (lambda: _own(shape=7), r"Operator shape must be \(members, n\), two whole numbers; got 7"),
        (lambda: _own(shape=(3, 7, 1)), r"Operator shape must be \(members, n\), two whole numbers; got \(3, 7, 1\)"),
        (lambda: _own(shape=(0, 7)), "Operator shape's members must be a whole number of at least 1; got 0"),
        (lambda: _own(active=torch.ones(7)), "Operator active must be boolean, True where it acts; got torch.float32"),
        (lambda: _own(active=torch.ones(4) > 0), r"Operator active must be \(7,\) or \(3, 7\); got \(4,\)"),
        (
            lambda: _own()(torch.zeros(7)),
            r"takes vectors \(members, entries\) of shape \(3, 7\), one row a member; got",
        ),
        (lambda: _own().block(torch.arange(3)), r"Operator block must be \(7,\) or \(3, 7\); got \(3,\)"),
        (lambda: _own().scaled([1.0]), r"Operator diagonal must be a tensor \(7,\) or \(3, 7\); got \[1.0\]"),
        (lambda: _own()[3], r"There is no member 3; the operator has 3 \(0 to 2\)"),
        (lambda: from_matrix(torch.ones(2, 3)), r"from_matrix needs floating-point matrices .* torch.float32 \(2, 3\)"),
        (lambda: from_matrix(torch.eye(2).long()), "from_matrix needs floating-point matrices"),
        (lambda: from_matrix(torch.ones(2, 2).triu()), r"Member 0's matrix is not symmetric: it is up to 1 off"),
        (lambda: trace(MATRICES), "trace A must be an Operator; got a Tensor: write spectra.from_matrix"),
        (lambda: as_matrix(None), "as_matrix A must be an Operator such as curvature.hessian.*; got None"),
    ],
)
def test_what_cannot_be_meant(make: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make()


def test_progress_is_told() -> None:
    A = from_matrix(MATRICES)
    for measure, total in (
        (lambda tell: trace(A, products=8, progress=tell), 8),
        (lambda tell: diagonal(A, products=5, progress=tell), 5),
        (lambda tell: as_matrix(A, progress=tell), 7),
        (lambda tell: top_eigenvalues(A, 7, progress=tell), 7),
        (lambda tell: tw.spectra.density(A, steps=3, probes=2, progress=tell), 6),
        (lambda tell: negative_index(A, progress=tell), 3),
    ):
        told: list[Any] = []
        measure(told.append)
        assert (told[-1].done, told[-1].total) == (total, total)
        assert [one.done for one in told] == sorted(one.done for one in told)
