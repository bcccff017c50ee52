"""The negative index against planted spectra, closed forms and the dense matrix."""

import numpy as np
import pytest
import torch
from cases import CASE
from curvature.planted import matrix_of, of_matrix, quadratic
from torch import nn

import thalweg as tw
from thalweg.curvature import Operator, block
from thalweg.curvature.negative_index import dense, negative_index
from thalweg.errors import UsageError

SHARES = ("negative", "near zero")
ENDS = ("smallest eigenvalue", "largest eigenvalue")
PLANTED = {
    "positive": np.linspace(0.5, 3, 12),
    "indefinite": np.array([-0.5, -1e-3, 0.2, 1.0, 2.0]),
    "longest downwards": np.array([-7.0, -0.1, 1.0, 2.0]),
    "without full rank": np.concatenate([[-1.0], np.zeros(6), [2.0, 3.0, 4.0]]),
    "zero": np.zeros(4),
}


@pytest.mark.parametrize("values", PLANTED.values(), ids=PLANTED)
def test_planted_spectra_are_counted_exactly(values: np.ndarray) -> None:
    problem = quadratic(values)
    found = negative_index(problem, problem.initialize(2))
    for member in range(2):
        assert found["negative"][member] == (values < 0).mean()
        assert found["near zero"][member] == (values == 0).mean()
        got = [found[end][member] for end in ENDS]
        assert got == pytest.approx([values.min(), values.max()], rel=1e-12, abs=1e-14)
    assert not any(found.standard_errors[share].any() for share in SHARES)
    assert found.cost.hvps == 2 * len(values)


def test_rounding_in_single_precision_is_no_curvature() -> None:
    """Zeros come out as about 1e-7 of the longest eigenvalue, of either sign."""
    problem = of_matrix(matrix_of(PLANTED["without full rank"]).float())
    member = problem.initialize(1)
    assert negative_index(problem, member)["negative"][0] == 0.1
    assert negative_index(problem, member)["near zero"][0] == 0.6
    rounded = negative_index(problem, member, threshold=0.0)
    assert rounded["negative"][0] > 0.1 or rounded["near zero"][0] < 0.6


def test_the_threshold_is_by_the_longest_eigenvalue() -> None:
    problem = quadratic(np.array([-10.0, -0.5, 0.5, 2.0]))
    member = problem.initialize(1)
    assert negative_index(problem, member, threshold=0.049)["negative"][0] == 0.5
    above = negative_index(problem, member, threshold=0.051)
    assert (above["negative"][0], above["near zero"][0]) == (0.25, 0.5)


def test_only_what_lives_counts() -> None:
    """Of a diagonal matrix, masks and blocks leave some entries; every member has its own."""
    diagonal = torch.tensor([-3.0, -2.0, 0.0, 1.0, 4.0], dtype=torch.float64)
    problem = of_matrix(torch.diag(diagonal))
    alive = torch.tensor([[True, False, True, True, False], [False, True, False, True, True]])
    for options in ({}, {"dense_up_to": 0, "steps": 5, "probes": 3}):
        found = negative_index(problem, problem.initialize(2).with_mask(alive), **options)
        assert found["smallest eigenvalue"] == pytest.approx([-3, -2])
        assert found["largest eigenvalue"] == pytest.approx([1, 4])
    exact = negative_index(problem, problem.initialize(2).with_mask(alive))
    assert exact["negative"] == pytest.approx([1 / 3, 1 / 3])
    assert exact["near zero"] == pytest.approx([1 / 3, 0])
    part = negative_index(problem, problem.initialize(1), scale=alive[0].double())
    assert part["near zero"][0] == pytest.approx(1 / 3)
    each = negative_index(problem, problem.initialize(2), scale=alive.double())
    assert each["near zero"] == pytest.approx([1 / 3, 0])


def test_signs_do_not_change_with_the_scale_of_parameters() -> None:
    """Sylvester's law: S H S has as many negative eigenvalues as H."""
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    scale = torch.rand(population.theta.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.5
    scaled = negative_index(problem, population, scale=scale)
    assert scaled["negative"].tolist() == negative_index(problem, population)["negative"].tolist()
    one = negative_index(problem, population, scale=block(population, "0.weight"))
    assert (one["negative"] * 20 == (one["negative"] * 20).round()).all()


def test_quadrature_agrees_with_the_dense_matrix_within_its_errors() -> None:
    values = np.concatenate([np.linspace(-2, -1, 45), np.zeros(30), np.linspace(1, 3, 75)])
    problem = quadratic(values)
    found = negative_index(problem, problem.initialize(1), dense_up_to=149, steps=40, probes=40)
    for share, wanted in zip(SHARES, (0.3, 0.2), strict=True):
        error = found.standard_errors[share][0]
        assert 0 < error < 0.05
        assert abs(found[share][0] - wanted) <= 4 * error
    assert [found[end][0] for end in ENDS] == pytest.approx([-2, 3], rel=1e-3)
    assert found.notes[0].startswith("By Lanczos quadrature, 40 probes of 40 steps for 150 parameters")
    assert found.cost.hvps == 40 * 40
    single = negative_index(problem, problem.initialize(1), dense_up_to=0, steps=5, probes=1)
    assert np.isnan(single.standard_errors["negative"]).all()


def test_the_saddle_of_a_deep_linear_network_at_zero() -> None:
    """At W = 0 the Hessian of mean |W2 W1 x - y|^2 pairs the layers by S = mean y x^T.

    Each singular value s of S gives +2 s / outputs and -2 s / outputs as often as there are hidden units.
    """
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, size, generator=draw, dtype=torch.float64) for size in (4, 2))
    hidden = 3

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, hidden, bias=False), nn.Linear(hidden, 2, bias=False))

    problem = tw.Problem(model, (x, y), "squared_error", dtype=torch.float64)
    population = problem.initialize(1)
    found = negative_index(problem, population.with_theta(0 * population.theta))
    assert found["negative"][0] == pytest.approx(2 * hidden / 18)
    assert found["near zero"][0] == pytest.approx(1 - 4 * hidden / 18)
    longest = float(torch.linalg.svdvals(y.T @ x / 50)[0])  # 2 s / 2 outputs
    assert [found[end][0] for end in ENDS] == pytest.approx([-longest, longest], rel=1e-10)


def test_the_dense_matrix_is_that_of_products_and_members_do_not_mix() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    matrix = dense(Operator(problem, population))
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    product = (matrix @ vectors.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(product, Operator(problem, population)(vectors), rtol=1e-10, atol=1e-13)
    whole = negative_index(problem, population)
    small = CASE["mlp"].problem(dtype=torch.float64, memory_budget=20_000)  # one matrix of 43^2 at once
    parts = negative_index(small, population)
    for name in (*SHARES, *ENDS):
        assert parts[name] == pytest.approx(whole[name], rel=1e-10)
        assert negative_index(problem, population[1])[name][0] == pytest.approx(whole[name][1], rel=1e-10)
    assert parts.cost.hvps == whole.cost.hvps == 3 * 43


@pytest.mark.parametrize("options", [{}, {"dense_up_to": 0, "steps": 6, "probes": 2}], ids=["dense", "quadrature"])
def test_a_member_that_is_gone_has_no_index_and_nothing_is_changed(options: dict[str, int]) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    population.theta[1, 0] = torch.nan
    before = population.theta.clone()
    found = negative_index(problem, population, **options)
    torch.testing.assert_close(population.theta, before, rtol=0, atol=0, equal_nan=True)
    alone = negative_index(problem, population[2], **options)
    for name in (*SHARES, *ENDS):
        assert np.isnan(found[name]).tolist() == [False, True, False]
        assert found[name][2] == pytest.approx(alone[name][0], rel=1e-9)


def test_what_cannot_be_meant() -> None:
    problem = CASE["mlp"].problem()
    population = problem.initialize(1)
    with pytest.raises(UsageError, match=r"negative_index threshold must be at least 0 and below 1; got 1\.5"):
        negative_index(problem, population, threshold=1.5)
    with pytest.raises(UsageError, match="must be a share of the longest eigenvalue such as 1e-6; got 'auto'"):
        negative_index(problem, population, threshold="auto")
    with pytest.raises(UsageError, match="dense_up_to must be a whole number of at least 0; got -1"):
        negative_index(problem, population, dense_up_to=-1)
    with pytest.raises(UsageError, match="negative_index probes must be a whole number of at least 1; got 0"):
        negative_index(problem, population, dense_up_to=0, probes=0)
