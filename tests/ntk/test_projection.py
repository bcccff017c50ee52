"""Random projections against the kernel itself, by a z-test."""

import numpy as np
import pytest
import torch
from cases import CASE
from ntk.dense_kernels import kernel_of

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ntk import projection

FEATURES = 300


def _dense(name: str, members: int, **options: object) -> tuple[tw.Problem, tw.Population, np.ndarray]:
    """The kernels (members, examples, examples, outputs, outputs) by dense Jacobians."""
    case = CASE[name]
    problem = case.problem(dtype=torch.float64, **options)
    population = problem.initialize(members)
    flat = torch.stack([kernel_of(case, population, member, problem.data.train) for member in range(members)])
    examples = len(problem.data.train)
    blocks = flat.unflatten(2, (examples, -1)).unflatten(1, (examples, -1))
    return problem, population, blocks.permute(0, 1, 3, 2, 4).numpy()


@pytest.mark.parametrize("name", ["mlp", "attention", "tied"])
def test_every_entry_is_within_its_errors(name: str) -> None:
    problem, population, kernel = _dense(name, 2)
    found = projection(problem, population, FEATURES, outputs="full", seed=1)
    z = (found["kernel"] - kernel) / np.maximum(found.reading.standard_errors["kernel"], 1e-12)
    assert np.abs(z[np.abs(kernel) > 1e-9]).max() < 5.5


def test_errors_are_not_too_wide_either() -> None:
    problem, population, kernel = _dense("mlp", 1)
    z = []
    for seed in range(12):
        found = projection(problem, population, 60, outputs="full", seed=seed)
        z.append((found["kernel"] - kernel) / found.reading.standard_errors["kernel"])
    assert 0.8 < np.sqrt(np.square(z).mean()) < 1.25


def test_the_trace_is_the_mean_over_outputs_with_errors_of_its_own() -> None:
    problem, population, kernel = _dense("mlp", 2)
    found = projection(problem, population, FEATURES)
    whole = projection(problem, population, FEATURES, outputs="full")
    mean = np.trace(whole["kernel"], axis1=3, axis2=4) / 3
    np.testing.assert_allclose(found["kernel"], mean, rtol=1e-10)
    wanted = np.trace(kernel, axis1=3, axis2=4) / 3
    z = (found["kernel"] - wanted) / found.reading.standard_errors["kernel"]
    assert np.abs(z).max() < 5.5


def test_the_error_falls_with_the_root_of_the_number_and_is_what_the_lemma_allows() -> None:
    problem, population, kernel = _dense("mlp", 1)
    few, many = (projection(problem, population, k, outputs="full") for k in (100, 1_600))
    errors = [found.reading.standard_errors["kernel"].mean() for found in (few, many)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    diagonal = np.einsum("maacc->mac", many.reading.standard_errors["kernel"])
    assert (diagonal <= 1.2 * (2 / 1_600) ** 0.5 * np.einsum("maacc->mac", kernel)).all()


def test_the_memory_budget_changes_nothing() -> None:
    problem, population, _ = _dense("mlp", 2)
    small = CASE["mlp"].problem(dtype=torch.float64, memory_budget=2_000)
    wanted, got = (projection(one, population, 10).features for one in (problem, small))
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_a_cross_kernel_is_that_of_two_projections() -> None:
    problem, population, _ = _dense("mlp", 2)
    train = problem.data.train
    left, right = train.select(torch.arange(10)), train.select(torch.arange(10, 24))
    cross = projection(problem, population, 50, on=left).against(projection(problem, population, 50, on=right))
    whole = projection(problem, population, 50)
    np.testing.assert_allclose(cross.mean, whole["kernel"][:, :10, 10:], rtol=1e-10)
    np.testing.assert_allclose(
        cross.standard_error, whole.reading.standard_errors["kernel"][:, :10, 10:], rtol=1e-6, atol=1e-12
    )
    with pytest.raises(UsageError, match="go together"):
        projection(problem, population, 50, on=left).against(projection(problem, population, 50, on=right, seed=1))


def test_a_member_does_not_depend_on_the_others_and_a_seed_says_it_all() -> None:
    problem, population, _ = _dense("mlp", 3)
    both = projection(problem, population, 5).features
    torch.testing.assert_close(projection(problem, population[1], 5).features[0], both[1], rtol=1e-12, atol=1e-14)
    assert torch.equal(projection(problem, population, 5).features, both)
    assert not torch.equal(projection(problem, population, 5, seed=1).features, both)


def test_what_is_wrong_is_said() -> None:
    problem, population, _ = _dense("mlp", 1)
    with pytest.raises(UsageError, match="features"):
        projection(problem, population, 1)
    with pytest.raises(UsageError, match="trace, full"):
        projection(problem, population, 10, outputs="sum")
    with pytest.raises(UsageError, match="There is no member 3"):
        projection(problem, population, 10).figure(3)
    assert projection(problem, population, 10, outputs="full").figure().panels
