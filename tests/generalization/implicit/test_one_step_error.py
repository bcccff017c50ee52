"""Slopes of one-step errors on functions, and coefficients with which they must be others."""

import numpy as np
import pytest
import torch

from thalweg.errors import UsageError
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
