"""Slopes of one-step errors on functions, and coefficients with which they must be others."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import implicit

SMALL = np.geomspace(0.001, 0.016, 9).tolist()


def _product(ab: torch.Tensor) -> torch.Tensor:
    return (1.5 - ab[0] * ab[1] * 0.8) ** 2 / 2


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y = _draw(8, 3), _draw(8, seed=1)


def _net(theta: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
    hidden = torch.tanh(X[rows] @ theta[:18].view(3, 6) + theta[18:24])
    return ((hidden @ theta[24:30] + theta[30] - Y[rows]) ** 2).mean() / 2


@pytest.mark.parametrize(("function", "parameters"), [(_product, 2), (_net, 31)])
def test_slopes_are_2_and_3(function, parameters: int) -> None:
    starts = _draw(6, parameters, seed=2)
    found = implicit.one_step_error(function, starts, SMALL)
    np.testing.assert_allclose(found["slope"][0].mean(), 2, atol=0.05)
    np.testing.assert_allclose(found["slope"][1].mean(), 3, atol=0.05)
    for wrong in (0.0, 0.125, 0.5, -0.25):
        other = implicit.one_step_error(function, starts, SMALL, penalty=wrong)["slope"][1]
        assert abs(other.mean() - 3) > 0.5
    found.figure()


def test_the_mean_epoch_needs_the_term_of_the_batches() -> None:
    batches = [lambda theta, k=k: _net(theta, slice(2 * k, 2 * k + 2)) for k in range(4)]
    starts = _draw(4, 31, seed=3)
    found = implicit.one_step_error(batches, starts, [0.001, 0.002, 0.004])
    assert found.reading.coordinate("flow").tolist() == ["plain", "gradient term", "modified"]
    np.testing.assert_allclose(found["slope"].mean(1), [2, 2, 3], atol=0.05)
    other = implicit.one_step_error(batches, starts, [0.001, 0.002, 0.004], batch_penalty=0.125)
    np.testing.assert_allclose(other["slope"][2].mean(), 2, atol=0.1)


def test_errors_on_a_quadratic_are_those_of_the_exponential() -> None:
    h, rates = 3.0, np.array([0.01, 0.02])
    found = implicit.one_step_error(lambda theta: h * (theta**2).sum() / 2, [[2.0]], rates.tolist())
    plain = np.abs((1 - rates * h) - np.exp(-rates * h)) * 2
    modified = np.abs((1 - rates * h) - np.exp(-rates * (h + rates * h**2 / 2))) * 2
    np.testing.assert_allclose(found["error"][:, 0], [plain, modified], rtol=1e-6)


@pytest.mark.parametrize(
    ("losses", "starts", "rates", "sentence"),
    [
        ([], [[1.0]], SMALL, "1 to 6"),
        ([_product] * 7, [[1.0, 2.0]], SMALL, "got 7"),
        (_product, [1.0, 2.0], SMALL, "starts, parameters"),
        (_product, [[1.0, 2.0]], [0.1], "at least 2"),
        (_product, [[1.0, 2.0]], [0.1, 0.0], "above 0"),
        (lambda theta: theta, [[1.0, 2.0]], SMALL, "one number"),
    ],
)
def test_what_cannot_be_meant_is_refused(losses, starts, rates, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        implicit.one_step_error(losses, starts, rates)


def test_the_loss_of_a_problem_is_a_function_of_its_parameters() -> None:
    y = torch.randint(2, (8,), generator=torch.Generator().manual_seed(0))
    data = tw.data.Data(tw.data.Examples(X, y), classes=2)
    model = lambda: torch.nn.Sequential(  # noqa: E731
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
    )
    problem = tw.Problem(model, data, dtype=torch.float64)
    population = problem.initialize(2)
    losses = implicit.loss_functions(problem, population, batches=4)
    values = torch.stack([torch.stack([one(theta) for one in losses]).mean() for theta in population.theta])
    torch.testing.assert_close(values, tw.evaluate(problem, population, "train")["loss"].double())
    gradients = torch.stack([torch.func.grad(losses[1])(theta) for theta in population.theta])
    batch = tw.population.Batch.range(problem.data.train, 2, 4)
    torch.testing.assert_close(gradients, tw.population.gradient(problem, population, batch))
    found = implicit.one_step_error(losses, population.theta, [0.001, 0.002, 0.004])
    np.testing.assert_allclose(found["slope"].mean(1), [2, 2, 3], atol=0.05)
    with pytest.raises(UsageError, match="which leaves 2"):
        implicit.loss_functions(problem, population, batches=3)
    weighted = tw.Problem(model, data, tw.losses.CrossEntropy(class_weights=[1.0, 2.0]), dtype=torch.float64)
    assert len(implicit.loss_functions(weighted, population)) == 1
    with pytest.raises(ModelError, match="write batches=1"):
        implicit.loss_functions(weighted, population, batches=2)
    single = tw.Problem(model, data)
    with pytest.raises(UsageError, match=r"dtype=torch\.float64"):
        implicit.loss_functions(single, single.initialize(1))
