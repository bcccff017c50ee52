"""Linear systems against dense solves, and the sketch against what is proved of it."""

import numpy as np
import pytest
import torch
from spectra.planted import matrix_of, operator_of, with_nan

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ntk import solve
from thalweg.ntk.nystroem import sketched
from thalweg.randomness import generator
from thalweg.spectra import from_matrix

N = 120
FALLING = 1e3 * np.arange(1, N + 1) ** -2.0  # from 1,000 to 0.07


def _targets(count: int = N) -> torch.Tensor:
    return torch.randn(count, generator=generator(0, "targets"), dtype=torch.float64)


@pytest.mark.parametrize("rank", [0, 1, 20, N])
@pytest.mark.parametrize("ridge", [1e-2, 10.0])
def test_it_is_the_dense_solution(rank: int, ridge: float) -> None:
    matrix = torch.stack([matrix_of(FALLING, seed) for seed in range(2)])
    found = solve(from_matrix(matrix), _targets(), ridge=ridge, rank=rank, tolerance=1e-10)
    wanted = torch.linalg.solve(matrix + ridge * torch.eye(N, dtype=torch.float64), _targets())
    assert found.converged.all()
    torch.testing.assert_close(found.vectors, wanted, rtol=1e-6, atol=1e-9)
    assert (found["residual"] <= 1e-10).all()


def test_each_member_has_a_right_hand_side_of_its_own() -> None:
    matrix = torch.stack([matrix_of(FALLING, seed) for seed in range(3)])
    b = torch.stack([_targets(), 2 * _targets(), torch.zeros(N, dtype=torch.float64)])
    found = solve(from_matrix(matrix), b, ridge=1.0, tolerance=1e-10)
    alone = solve(from_matrix(matrix[1]), b[1], ridge=1.0, tolerance=1e-10)
    torch.testing.assert_close(found.vectors[1], alone.vectors[0], rtol=1e-8, atol=1e-12)
    assert found.converged.all()
    assert found["iterations"][2] == 0
    assert not found.vectors[2].any()


def test_the_sketch_takes_iterations_away() -> None:
    A = operator_of(FALLING)
    ridge = 0.05
    plain = solve(A, _targets(), ridge=ridge, rank=0, tolerance=1e-8)["iterations"][0]
    ahead = solve(A, _targets(), ridge=ridge, rank=40, tolerance=1e-8)["iterations"][0]
    assert ahead < 0.5 * plain


def test_the_condition_number_of_the_preconditioned_system_is_what_is_left() -> None:
    matrix, rank, ridge = matrix_of(FALLING), 30, 0.05
    sketch = sketched(from_matrix(matrix), rank, 0, lambda done: None)
    unit = torch.eye(N, dtype=torch.float64)
    inverse = torch.stack([sketch.precondition(row[None], ridge)[0] for row in unit])
    values = torch.linalg.eigvals(inverse @ (matrix + ridge * unit)).real
    error = float(torch.linalg.matrix_norm(matrix - sketch.basis[0].T * sketch.values[0] @ sketch.basis[0], ord=2))
    bound = (float(sketch.values[0, -1]) + ridge + error) / ridge  # Frangella et al., proposition 5.3
    assert float(values.max() / values.min()) <= bound * (1 + 1e-9)
    assert float(values.max() / values.min()) < 0.01 * (FALLING[0] + ridge) / (FALLING[-1] + ridge)


def test_the_sketch_is_below_the_matrix_and_exact_where_the_rank_is_reached() -> None:
    matrix = matrix_of(FALLING)
    sketch = sketched(from_matrix(matrix), 25, 0, lambda done: None)
    known = sketch.basis[0].T * sketch.values[0] @ sketch.basis[0]
    assert float(torch.linalg.eigvalsh(matrix - known)[0]) > -1e-9
    low = matrix_of(np.array([0.0] * 30 + [1.0, 2.0, 5.0]))
    sketch = sketched(from_matrix(low), 6, 0, lambda done: None)
    torch.testing.assert_close(sketch.basis[0].T * sketch.values[0] @ sketch.basis[0], low, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rank", [0, 10])
def test_a_singular_kernel_without_a_ridge_gives_no_nan(rank: int) -> None:
    matrix = matrix_of(np.array([0.0] * 5 + [1.0, 2.0, 5.0, 9.0]))
    b = _targets(9)
    found = solve(from_matrix(matrix), b, ridge=0.0, rank=rank)
    assert found.vectors.isfinite().all()
    assert not found.converged.any()
    assert "did not come to" in " ".join(found.reading.notes)
    inside = matrix @ b
    found = solve(from_matrix(matrix), inside, ridge=0.0, rank=rank)
    assert found.converged.all()
    torch.testing.assert_close(matrix @ found.vectors[0], inside, rtol=1e-3, atol=1e-4)


def test_a_matrix_that_is_not_positive_ends_without_nan() -> None:
    found = solve(from_matrix(matrix_of(np.array([-3.0, 1.0, 2.0, 4.0]))), _targets(4), ridge=0.1, rank=0)
    assert found.vectors.isfinite().all()


def test_float32_comes_as_near_as_it_says() -> None:
    matrix = matrix_of(FALLING)
    found = solve(from_matrix(matrix.float()), _targets().float(), ridge=0.1, tolerance=3e-4)
    assert found.converged.all()
    true = (matrix + 0.1 * torch.eye(N)) @ found.vectors[0].double() - _targets()
    share = float(true.norm() / _targets().norm())
    assert share < 6e-4
    hard = solve(from_matrix(matrix.float()), _targets().float(), ridge=1e-7, tolerance=1e-9)
    assert not hard.converged.any()


def test_a_member_that_is_not_finite_spoils_no_other() -> None:
    matrices = torch.stack([matrix_of(FALLING, seed) for seed in range(3)])
    found = solve(from_matrix(with_nan(matrices)), _targets(), ridge=1.0, tolerance=1e-8)
    assert found.converged.tolist() == [True, False, True]
    assert found.vectors[1].isnan().all()
    whole = solve(from_matrix(matrices), _targets(), ridge=1.0, tolerance=1e-8)
    torch.testing.assert_close(found.vectors[2], whole.vectors[2], rtol=1e-6, atol=1e-10)


def test_where_it_does_not_act_it_is_zero() -> None:
    inside = torch.arange(N) % 3 > 0
    matrix = matrix_of(FALLING)
    found = solve(from_matrix(matrix).block(inside), _targets(), ridge=1.0, tolerance=1e-10)
    part = matrix[inside][:, inside]
    wanted = torch.linalg.solve(part + torch.eye(len(part), dtype=torch.float64), _targets()[inside])
    torch.testing.assert_close(found.vectors[0, inside], wanted, rtol=1e-6, atol=1e-9)
    assert not found.vectors[0, ~inside].any()


def test_the_cost_is_what_is_said() -> None:
    A = operator_of(FALLING)
    found = solve(A, _targets(), ridge=1.0, rank=10)
    assert A.products == found.reading.cost.hvps
    assert A.products <= 10 + found["iterations"][0] + 4


def test_kernel_regression_of_a_network() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits(), dtype=torch.float64)
    A = tw.ntk.operator(problem, problem.initialize(1), on=tw.Sample("train", 12))
    b = _targets(A.shape[1])
    wanted = torch.linalg.solve(tw.spectra.as_matrix(A)[0] + torch.eye(len(b), dtype=torch.float64), b)
    found = solve(A, b, ridge=1.0, tolerance=1e-9)
    torch.testing.assert_close(found.vectors[0], wanted, rtol=1e-5, atol=1e-8)


def test_the_figure_shows_every_member() -> None:
    found = solve(operator_of(FALLING, members=2), _targets(), ridge=1.0)
    assert [mark.label for mark in found.figure().panels[0].marks] == [
        "member 0",
        "member 1",
        "computed anew",
        "tolerance",
    ]
    none = solve(operator_of(FALLING), torch.zeros(N), ridge=1.0)
    assert none.figure().panels


def test_wrong_arguments_are_refused() -> None:
    A = operator_of(FALLING)
    for wrong, words in (
        ({"ridge": -1.0}, "ridge must be finite"),
        ({"ridge": 1.0, "tolerance": 0.0}, "tolerance above 0"),
        ({"ridge": 1.0, "rank": -1}, "rank"),
        ({"ridge": 1.0, "max_iterations": 0}, "max_iterations"),
    ):
        with pytest.raises(UsageError, match=words):
            solve(A, _targets(), **wrong)
    with pytest.raises(UsageError, match="targets must be finite, of shape"):
        solve(A, torch.ones(3), ridge=1.0)
    with pytest.raises(UsageError, match="targets must be finite"):
        solve(A, torch.full((N,), torch.nan), ridge=1.0)
