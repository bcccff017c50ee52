"""Gradients and Jacobian products against dense matrices, whatever the batch, the chunks and the model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import CASE, DETERMINISTIC, Case, X, Y, every
from population.oracles import Dense
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.errors import UsageError
from thalweg.population import Batch, Population, Problem, derivatives

MEMBERS, EXAMPLES = 3, 6
SMOOTH = [case for case in DETERMINISTIC if case.name not in ("encoder",)]


def _setting(case: Case, *, shared: bool = False, **options: Any) -> tuple[Problem, Population, Batch, list[Dense]]:
    problem = case.problem(dtype=torch.float64, **options)
    population = problem.initialize(MEMBERS)
    for buffer in population.buffers.values():
        if buffer.is_floating_point():
            buffer.add_(torch.rand(buffer.shape, generator=torch.Generator().manual_seed(3)))
    rows = 1 if shared else MEMBERS
    indices = torch.arange(rows * EXAMPLES).view(rows, EXAMPLES)
    batch = Batch.of(problem.data.train, indices)
    return problem, population, batch, [Dense(case, population, member, batch) for member in range(MEMBERS)]


def _vectors(population: Population) -> Tensor:
    return torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def assert_equal(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@every(SMOOTH)
def test_gradients(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    got = derivatives.gradient(problem, population, batch)
    for member in range(MEMBERS):
        assert_equal(got[member], dense[member].gradient())


@every(SMOOTH)
def test_jacobian_products_both_ways(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    vectors = _vectors(population)
    forward = derivatives.jacobian_product(problem, population, vectors, batch)
    leaves, form = tree_flatten(forward)
    draw = torch.Generator().manual_seed(6)
    cotangents = [torch.randn(leaf.shape, generator=draw, dtype=torch.float64) for leaf in leaves]
    back = derivatives.transposed_jacobian_product(problem, population, tree_unflatten(cotangents, form), batch)
    for member in range(MEMBERS):
        matrix = dense[member].jacobian()
        assert_equal(torch.cat([leaf[member].flatten() for leaf in leaves]), matrix @ vectors[member])
        assert_equal(back[member], matrix.T @ torch.cat([leaf[member].flatten() for leaf in cotangents]))


def _gradient(problem: Problem, population: Population, vectors: Tensor, batch: Batch) -> Tensor:
    return derivatives.gradient(problem, population, batch)


def _there_and_back(problem: Problem, population: Population, vectors: Tensor, batch: Batch) -> Tensor:
    """J^T J v."""
    changes = derivatives.jacobian_product(problem, population, vectors, batch)
    return derivatives.transposed_jacobian_product(problem, population, changes, batch)


PRODUCTS: list[Callable[..., Tensor]] = [_gradient, derivatives.jacobian_product, _there_and_back]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_shared_batch_is_the_same_batch_for_each(product: Callable[..., Tensor]) -> None:
    problem, population, shared, _ = _setting(CASE["batchnorm"], shared=True)
    own = Batch.of(problem.data.train, torch.arange(EXAMPLES).expand(MEMBERS, -1))
    vectors = _vectors(population)
    assert_equal(product(problem, population, vectors, shared), product(problem, population, vectors, own))


@pytest.mark.parametrize("product", PRODUCTS)
def test_chunks_of_one_give_the_same(product: Callable[..., Tensor]) -> None:
    problem, population, batch, _ = _setting(CASE["attention"])
    tight = CASE["attention"].problem(dtype=torch.float64, memory_budget=1)
    vectors = _vectors(population)
    assert_equal(product(tight, population, vectors, batch), product(problem, population, vectors, batch))


@pytest.mark.parametrize("product", PRODUCTS)
def test_rows_do_not_mix(product: Callable[..., Tensor]) -> None:
    problem, population, batch, _ = _setting(CASE["mlp"])
    vectors = _vectors(population)
    healthy = product(problem, population, vectors, batch)
    theta = population.theta.clone()
    theta[1] = torch.nan
    got = product(problem, population.with_theta(theta), vectors, batch)
    assert torch.equal(got[[0, 2]], healthy[[0, 2]])
    assert got[1].isnan().any()


class Branching(nn.Linear):
    """Control flow that vmap cannot follow, and that grad and jvp can."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.tanh(super().forward(x))
        return out if bool((x.sum() > 1e9).item()) else out**3


def test_models_that_vmap_cannot_hold_are_looped() -> None:
    case = Case("branching", lambda: Branching(4, 3), X, Y)
    problem, population, batch, dense = _setting(case)
    vectors = _vectors(population)
    gradients = derivatives.gradient(problem, population, batch)
    changes = derivatives.jacobian_product(problem, population, vectors, batch)
    for member in range(MEMBERS):
        assert_equal(gradients[member], dense[member].gradient())
        assert_equal(changes[member].flatten(), dense[member].jacobian() @ vectors[member])


def test_running_statistics_are_used_and_kept() -> None:
    problem, population, batch, _ = _setting(CASE["batchnorm"])
    before = {name: buffer.clone() for name, buffer in population.buffers.items()}
    for product in PRODUCTS:
        product(problem, population, _vectors(population), batch)
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in before.items())


def test_a_single_example_is_enough_with_batch_normalization() -> None:
    model = lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))  # noqa: E731
    case = Case("normalized", model, X, Y)
    problem = case.problem(dtype=torch.float64)
    population, batch = problem.initialize(2), Batch.range(problem.data.train, 3, 4)
    got = derivatives.gradient(problem, population, batch)
    for member in range(2):
        assert_equal(got[member], Dense(case, population, member, batch).gradient())


class Counted(nn.Linear):
    """Its calls are counted."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Counted.calls += 1
        return super().forward(x)


def test_a_single_member_is_computed_once() -> None:
    problem = Problem(lambda: Counted(4, 3), (torch.randn(8, 4), torch.arange(8) % 3))
    population, batch = problem.initialize(1), Batch.range(problem.data.train, 0, 8)
    vectors, cotangents = torch.ones_like(population.theta), torch.ones(1, 8, 3)
    work = (
        lambda: derivatives.gradient(problem, population, batch),
        lambda: derivatives.jacobian_product(problem, population, vectors, batch),
        lambda: derivatives.transposed_jacobian_product(problem, population, cotangents, batch),
    )
    derivatives.gradient(problem, population, batch)  # the model is inspected at the first call
    for derivative in work:
        before = Counted.calls
        derivative()
        assert Counted.calls == before + 1


def test_vectors_have_thetas_shape() -> None:
    problem, population, batch, _ = _setting(CASE["mlp"])
    with pytest.raises(UsageError, match=r"theta's shape \(3, 43\) \(one a member\), got \(3, 42\)"):
        derivatives.jacobian_product(problem, population, population.theta[:, 1:], batch)
