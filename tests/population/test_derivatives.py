from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import CASE, DETERMINISTIC, Case, X, Y, every, mean_loss, mlp, plain_call
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.errors import UsageError
from thalweg.population import Batch, Population, Problem, derivatives

MEMBERS, EXAMPLES = 3, 6
SMOOTH = [case for case in DETERMINISTIC if case.name not in ("encoder",)]


class Dense:
    """One member's loss, outputs and their derivatives as dense matrices, by autograd on a flat vector."""

    def __init__(self, case: Case, population: Population, member: int, batch: Batch) -> None:
        self.case, self.layout = case, population.layout
        self.module = population.module(member).eval()
        self.theta = population.theta[member].clone()
        self.inputs, self.targets = batch.member(member)
        self.form = None

    def outputs(self, theta: Tensor) -> Tensor:
        """All outputs, flat."""
        named = self.layout.views(theta)
        with sdpa_kernel(SDPBackend.MATH):
            outputs = plain_call(lambda *args, **names: functional_call(self.module, named, args, names), self.inputs)
        leaves, self.form = tree_flatten(outputs)
        self.shapes = [leaf.shape for leaf in leaves]
        return torch.cat([leaf.flatten() for leaf in leaves])

    def loss_of(self, flat: Tensor) -> Tensor:
        """The mean loss of flat outputs."""
        parts = flat.split([shape.numel() for shape in self.shapes])
        leaves = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return mean_loss(self.case, tree_unflatten(leaves, self.form), self.targets)

    def loss(self, theta: Tensor) -> Tensor:
        return self.loss_of(self.outputs(theta))

    def gradient(self) -> Tensor:
        return jacobian(self.loss, self.theta)

    def hessian(self) -> Tensor:
        return hessian(self.loss, self.theta)

    def jacobian(self) -> Tensor:
        return jacobian(self.outputs, self.theta)

    def gauss_newton(self) -> Tensor:
        slope = self.jacobian()
        return slope.T @ hessian(self.loss_of, self.outputs(self.theta)) @ slope


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


def _close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@every(SMOOTH)
def test_gradients(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    got = derivatives.gradient(problem, population, batch)
    for member in range(MEMBERS):
        _close(got[member], dense[member].gradient())


@every(SMOOTH)
def test_losses_average_to_the_mean_loss(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    got = derivatives.losses(problem, population, batch)
    assert got.shape == (MEMBERS, EXAMPLES)
    for member in range(MEMBERS):
        _close(got[member].mean(), dense[member].loss(dense[member].theta).detach())
        one = Batch.of(problem.data.train, torch.tensor([[6 * member + 2]]))
        _close(got[member, 2], derivatives.losses(problem, population[member], one)[0, 0])


@every(SMOOTH)
def test_hessian_products(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    vectors = _vectors(population)
    got = derivatives.hessian_product(problem, population, vectors, batch)
    for member in range(MEMBERS):
        _close(got[member], dense[member].hessian() @ vectors[member])


@every(SMOOTH)
def test_gauss_newton_products(case: Case) -> None:
    problem, population, batch, dense = _setting(case)
    vectors = _vectors(population)
    got = derivatives.gauss_newton_product(problem, population, vectors, batch)
    for member in range(MEMBERS):
        _close(got[member], dense[member].gauss_newton() @ vectors[member])


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
        slope = dense[member].jacobian()
        _close(torch.cat([leaf[member].flatten() for leaf in leaves]), slope @ vectors[member])
        _close(back[member], slope.T @ torch.cat([leaf[member].flatten() for leaf in cotangents]))


def test_of_a_linear_model_with_squared_error_gauss_newton_is_the_hessian() -> None:
    problem = Problem(lambda: nn.Linear(4, 2), (X, X[:, :2]), "squared_error", dtype=torch.float64)
    population = problem.initialize(2)
    batch, vectors = Batch.range(problem.data.train, 0, 24), _vectors(population)
    got = derivatives.gauss_newton_product(problem, population, vectors, batch)
    _close(got, derivatives.hessian_product(problem, population, vectors, batch))
    design = torch.cat([X.double(), torch.ones(24, 1, dtype=torch.float64)], 1)
    block = design.T @ design / 24  # 2/(batch * outputs) X^T X for each of two outputs
    wanted = torch.cat([(block @ torch.cat([v[:8].view(2, 4), v[8:, None]], 1).T) for v in vectors], 1).T
    rows = torch.cat([torch.cat([v[:8].view(2, 4), v[8:, None]], 1) for v in got])
    _close(rows, wanted)


PRODUCTS: list[Callable[..., Tensor]] = [derivatives.hessian_product, derivatives.gauss_newton_product]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_shared_batch_is_the_same_batch_for_each(product: Callable[..., Tensor]) -> None:
    problem, population, shared, _ = _setting(CASE["batchnorm"], shared=True)
    own = Batch.of(problem.data.train, torch.arange(EXAMPLES).expand(MEMBERS, -1))
    vectors = _vectors(population)
    _close(product(problem, population, vectors, shared), product(problem, population, vectors, own))


@pytest.mark.parametrize("product", PRODUCTS)
def test_chunks_of_one_give_the_same(product: Callable[..., Tensor]) -> None:
    problem, population, batch, _ = _setting(CASE["attention"])
    tight = CASE["attention"].problem(dtype=torch.float64, memory_budget=1)
    vectors = _vectors(population)
    _close(product(tight, population, vectors, batch), product(problem, population, vectors, batch))


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
    got = derivatives.hessian_product(problem, population, vectors, batch)
    losses = derivatives.losses(problem, population, batch)
    for member in range(MEMBERS):
        _close(got[member], dense[member].hessian() @ vectors[member])
        _close(losses[member].mean(), dense[member].loss(dense[member].theta).detach())


def test_running_statistics_are_used_and_kept() -> None:
    problem, population, batch, _ = _setting(CASE["batchnorm"])
    before = {name: buffer.clone() for name, buffer in population.buffers.items()}
    derivatives.hessian_product(problem, population, _vectors(population), batch)
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in before.items())


def test_a_single_example_is_enough_with_batch_normalization() -> None:
    model = lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))  # noqa: E731
    case = Case("normalized", model, X, Y)
    problem = case.problem(dtype=torch.float64)
    population, batch = problem.initialize(2), Batch.range(problem.data.train, 3, 4)
    got = derivatives.gradient(problem, population, batch)
    for member in range(2):
        _close(got[member], Dense(case, population, member, batch).gradient())


def test_vectors_have_thetas_shape() -> None:
    problem, population, batch, _ = _setting(CASE["mlp"])
    for product in (*PRODUCTS, derivatives.jacobian_product):
        with pytest.raises(UsageError, match=r"theta's shape \(3, 43\) \(one a member\), got \(3, 42\)"):
            product(problem, population, population.theta[:, 1:], batch)


def test_curvlinops_agrees() -> None:
    linops = pytest.importorskip("curvlinops")
    problem = Problem(mlp, (X, Y), dtype=torch.float64)
    population = problem.initialize(2)
    batch, vectors = Batch.range(problem.data.train, 0, 24), _vectors(population)
    hessians = derivatives.hessian_product(problem, population, vectors, batch)
    gauss_newtons = derivatives.gauss_newton_product(problem, population, vectors, batch)
    for member in range(2):
        module = population.module(member)
        parameters = list(module.parameters())
        data = [(X.double(), Y)]
        for operator, got in (
            (linops.HessianLinearOperator, hessians),
            (linops.GGNLinearOperator, gauss_newtons),
        ):
            wanted = operator(module, nn.CrossEntropyLoss(), parameters, data) @ vectors[member]
            _close(got[member], wanted)
