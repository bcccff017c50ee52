"""Products with curvature matrices against dense matrices, in batches and chunks of every size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CASES, Case, every
from torch import Tensor, nn

import thalweg as tw
from thalweg import curvature
from thalweg.curvature import Operator, block
from thalweg.curvature.operator import MATRICES
from thalweg.data import Examples
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, derivatives

SMOOTH = [case for case in CASES if not case.stochastic and case.name != "encoder"]
MEMBERS = 3


def _setting(case: Case, **options: object) -> tuple[tw.Problem, tw.Population, Tensor]:
    problem = case.problem(dtype=torch.float64, **options)
    population = problem.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return problem, population, vectors


def _fisher(problem: tw.Problem, population: tw.Population, member: int) -> Tensor:
    """The mean of g g^T, from one gradient an example."""
    train = problem.data.train
    rows = [
        derivatives.gradient(problem, population[member], Batch.range(train, i, i + 1))[0] for i in range(len(train))
    ]
    return torch.stack(rows).T @ torch.stack(rows) / len(train)


@every(SMOOTH)
def test_products_equal_those_taken_one_at_a_time(case: Case) -> None:
    problem, population, vectors = _setting(case)
    whole = Batch.range(problem.data.train, 0, len(problem.data.train))
    for matrix, product in (
        ("hessian", derivatives.hessian_product),
        ("gauss_newton", derivatives.gauss_newton_product),
    ):
        got = Operator(problem, population, matrix)(vectors)
        torch.testing.assert_close(got, product(problem, population, vectors, whole), rtol=1e-9, atol=1e-12)


@every([CASE["mlp"], CASE["batchnorm"], CASE["two outputs"], CASE["recurrent"]])
def test_the_empirical_fisher_is_the_mean_of_outer_products(case: Case) -> None:
    problem, population, vectors = _setting(case)
    got = Operator(problem, population, "fisher")(vectors)
    for member in range(MEMBERS):
        wanted = _fisher(problem, population, member) @ vectors[member]
        torch.testing.assert_close(got[member], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("matrix", ["hessian", "gauss_newton", "fisher"])
@pytest.mark.parametrize("budget", [1, 20_000, 60_000, 2**30])
def test_batches_and_chunks_change_nothing(matrix: str, budget: int) -> None:
    """Also where the last batch is smaller than the others, and graphs are made anew."""
    problem, population, vectors = _setting(CASE["mlp"])
    wanted = Operator(problem, population, matrix)(vectors)
    small, _, _ = _setting(CASE["mlp"], memory_budget=budget)
    operator = Operator(small, population, matrix)
    for _ in range(2):
        torch.testing.assert_close(operator(vectors), wanted, rtol=1e-11, atol=1e-14)
    assert operator.products == 2


def test_a_limit_takes_the_first_examples() -> None:
    problem, population, vectors = _setting(CASE["mlp"])
    got = Operator(problem, population, limit=5)(vectors)
    wanted = derivatives.hessian_product(problem, population, vectors, Batch.range(problem.data.train, 0, 5))
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-14)


def test_masks_and_blocks_leave_a_block_of_the_matrix() -> None:
    problem, population, _ = _setting(CASE["mlp"])
    identity = torch.eye(population.layout.parameters, dtype=torch.float64)
    first = population[0]
    dense = torch.stack([Operator(problem, first)(row[None])[0] for row in identity])
    torch.testing.assert_close(dense, dense.T, rtol=1e-9, atol=1e-12)
    inside = block(first, "0.weight", "2.bias")
    part = Operator(problem, first, scale=inside)
    torch.testing.assert_close(torch.stack([part(row[None])[0] for row in identity]), inside[:, None] * dense * inside)
    weights = torch.rand(first.layout.parameters, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    turned = Operator(problem, first, scale=weights)  # preconditioned: S A S
    torch.testing.assert_close(
        torch.stack([turned(row[None])[0] for row in identity]), weights[:, None] * dense * weights
    )
    mask = torch.rand(first.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.5
    masked = first.with_mask(mask)
    free = Operator(problem, first.with_theta(masked.theta))
    living = mask.double()
    for row in identity:
        torch.testing.assert_close(Operator(problem, masked)(row[None])[0], living * free((row * living)[None])[0])


@pytest.mark.parametrize("name", ["attention", "fused attention", "mlp"])
@pytest.mark.parametrize("members", [1, 2])
def test_readings_say_by_which_kernel_attention_was_computed(name: str, members: int) -> None:
    problem = CASE[name].problem(dtype=torch.float64)
    population = problem.initialize(members)
    readings = [
        curvature.top_eigenvalues(problem, population, 1, most=2).reading,
        curvature.trace(problem, population, products=4),
        curvature.spectrum(problem, population, steps=2, probes=1).reading,
    ]
    said = [any("fused kernels have no second derivative" in note for note in reading.notes) for reading in readings]
    assert said == 3 * ["attention" in name]


class Voting(nn.Module):
    """Beside its outputs, classes and a copy that is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.body(x)
        return out.argmax(1), out, out.detach()


def test_outputs_without_a_derivative_are_constants() -> None:
    inputs, targets = CASE["mlp"].inputs, CASE["mlp"].targets
    each = lambda out, y: F.cross_entropy(out[1], y, reduction="none")  # noqa: E731
    voting = tw.Problem(Voting, (inputs, targets), each, metrics={}, dtype=torch.float64)
    plain = tw.Problem(lambda: Voting().body, (inputs, targets), dtype=torch.float64)
    population = voting.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    bodies = plain.initialize(MEMBERS).with_theta(population.theta)
    for matrix in MATRICES:
        got, wanted = Operator(voting, population, matrix)(vectors), Operator(plain, bodies, matrix)(vectors)
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    norms = [curvature.fisher_rao(*one)["squared norm"] for one in ((voting, population), (plain, bodies))]
    np.testing.assert_allclose(*norms, rtol=1e-9)


def test_examples_that_cannot_be_taken_are_named() -> None:
    problem, population, _ = _setting(CASE["mlp"])
    for wrong in ("test", problem.data):
        with pytest.raises(UsageError, match="Operator examples must be examples such as problem"):
            Operator(problem, population, examples=wrong)  # type: ignore[arg-type]
    inputs, targets = CASE["mlp"].inputs, CASE["mlp"].targets
    for examples in (
        Examples(inputs, targets),  # of another dtype
        Examples(inputs.double()[:, :3], targets),
        Examples(inputs.double(), targets + 3),
    ):
        with pytest.raises(ModelError, match="The model or its loss failed on a batch of 24 examples a member: "):
            Operator(problem, population, examples=examples)


def test_what_cannot_be_meant() -> None:
    problem, population, vectors = _setting(CASE["mlp"])
    with pytest.raises(UsageError, match="Operator matrix is one of hessian, gauss_newton, fisher; got 'kfac'"):
        Operator(problem, population, "kfac")
    with pytest.raises(UsageError, match=r"vectors of theta's shape \(3, 43\), one a member; got \(43,\)"):
        Operator(problem, population)(vectors[0])
    with pytest.raises(UsageError, match=r"Operator scale must be \(43,\) or \(3, 43\); got \(4,\)"):
        Operator(problem, population, scale=torch.ones(4))
    with pytest.raises(UsageError, match=r"There is no parameter '0.weights'. Did you mean '0.weight'"):
        block(population, "0.weights")
    drawing = CASE["dropout"].problem()
    assert Operator(drawing, drawing.initialize(1)).products == 0  # in evaluation mode it does not draw

    class Noisy(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1)

    noisy = tw.Problem(lambda: Noisy(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode, so it has no derivative"):
        Operator(noisy, noisy.initialize(1))
