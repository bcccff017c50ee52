"""Products with the tangent kernel against dense Jacobians, in chunks of every size."""

import numpy as np
import pytest
import torch
from cases import CASE, CASES, Case, every
from ntk.dense_kernels import kernel_of
from torch import Tensor

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.ntk import operator
from thalweg.spectra import as_matrix, top_eigenvalues, trace

ONE_TENSOR = [case for case in CASES if not case.stochastic and "outputs" not in case.name and case.name != "encoder"]
MEMBERS = 3


@every(ONE_TENSOR)
def test_it_is_the_jacobian_times_its_transpose(case: Case) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(MEMBERS)
    found = as_matrix(operator(problem, population))
    for member in range(MEMBERS):
        wanted = kernel_of(case, population, member, problem.data.train)
        torch.testing.assert_close(found[member], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("budget", [1, 3_000, 30_000])
def test_the_memory_budget_changes_nothing(budget: int) -> None:
    case = CASE["batchnorm"]
    problem = case.problem(dtype=torch.float64, memory_budget=budget)
    population = problem.initialize(MEMBERS)
    A = operator(problem, population)
    vectors = torch.randn(A.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = operator(case.problem(dtype=torch.float64), population)(vectors)
    torch.testing.assert_close(A(vectors), wanted, rtol=1e-10, atol=1e-12)


def test_it_is_restricted_to_a_mask() -> None:
    case = CASE["mlp"]
    problem = case.problem(dtype=torch.float64)
    start = problem.initialize(2)
    mask = torch.rand(start.theta.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    population = start.with_mask(mask)
    found = as_matrix(operator(problem, population))
    for member in range(2):
        wanted = kernel_of(case, population, member, problem.data.train)
        torch.testing.assert_close(found[member], wanted, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, as_matrix(operator(problem, start.with_theta(population.theta))))


def test_a_member_does_not_depend_on_the_others() -> None:
    problem = CASE["attention"].problem(dtype=torch.float64)
    population = problem.initialize(MEMBERS)
    A = operator(problem, population, on=tw.Sample("train", 7))
    one = A[2]
    assert one.shape == (1, 7 * 3)
    torch.testing.assert_close(as_matrix(one)[0], as_matrix(A)[2], rtol=1e-12, atol=1e-14)


def test_spectra_measure_it() -> None:
    case = CASE["mlp"]
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(2)
    A = operator(problem, population)
    for member in range(2):
        values = torch.linalg.eigvalsh(kernel_of(case, population, member, problem.data.train)).flip(0)
        top = top_eigenvalues(A, 3, tolerance=1e-8)
        np.testing.assert_allclose(top.values[member], values[:3], rtol=1e-8)
        found = trace(A, products=40)
        error = found.reading.standard_errors["trace"][member]
        assert abs(found["trace"][member] - float(values.sum())) < 5 * error + 1e-8


def test_nothing_of_the_population_or_the_problem_is_changed() -> None:
    problem = CASE["batchnorm"].problem()
    population = problem.initialize(2)
    before = population.theta.clone(), {name: buffer.clone() for name, buffer in population.buffers.items()}
    A = operator(problem, population)
    A(torch.ones(A.shape))
    assert torch.equal(population.theta, before[0])
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in before[1].items())


def test_a_member_that_is_not_finite_spoils_no_other() -> None:
    problem = CASE["mlp"].problem()
    population = problem.initialize(2)
    theta = population.theta.clone()
    theta[0, 0] = torch.nan
    A = operator(problem, population.with_theta(theta))
    found = A(torch.ones(A.shape))
    assert found[0].isnan().any()
    torch.testing.assert_close(found[1:], operator(problem, population[1])(torch.ones(1, A.shape[1])))


def test_several_output_tensors_are_refused_with_the_remedy() -> None:
    problem = CASE["two outputs"].problem()
    with pytest.raises(UsageError, match=r"one tensor of numbers.*wrap it"):
        operator(problem, problem.initialize(1))


def test_a_loss_or_model_that_draws_is_refused() -> None:
    class Noisy(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1)

    problem = tw.Problem(lambda: Noisy(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    with pytest.raises(ModelError, match="draws random numbers"):
        operator(problem, problem.initialize(1))


def test_a_backward_pass_that_is_not_differentiable_is_refused_with_the_remedy() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, upstream):
            return upstream * ctx.saved_tensors[0].cos()

    class Model(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return Once.apply(super().forward(x))

    problem = tw.Problem(lambda: Model(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    with pytest.raises(ModelError, match="write its backward pass in differentiable operations"):
        operator(problem, problem.initialize(1))


def test_unscaled_inputs_and_duplicate_rows_are_said() -> None:
    x = CASE["mlp"].inputs

    def notes(inputs: Tensor) -> str:
        problem = tw.Problem(CASE["mlp"].model, (inputs, CASE["mlp"].targets))
        return " ".join(operator(problem, problem.initialize(1)).notes)

    assert "not scaled" not in notes(x)
    assert "the same as" not in notes(x)
    assert "not scaled: their root mean square is" in notes(255 * x)
    assert "not scaled" in notes(x / 255)
    long = x.clone()
    long[3] *= 40
    assert "times as long as the median" in notes(long)
    twice = x.clone()
    twice[5], twice[9] = x[0], x[0]
    assert "2 of 24 inputs are the same as an earlier one" in notes(twice)


def test_repeated_tokens_are_duplicate_rows_too() -> None:
    case = CASE["attention"]
    tokens = case.inputs.clone()
    tokens[1] = tokens[0]
    repeated = len(tokens) - len(torch.unique(tokens, dim=0))
    problem = tw.Problem(case.model, (tokens, case.targets))
    assert f"{repeated} of 24 inputs" in " ".join(operator(problem, problem.initialize(1)).notes)
