"""Norms of layers against dense matrices, margins against outputs, and which models have none."""

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import bounds
from thalweg.generalization.bounds.by_norms import dimension_of
from thalweg.generalization.bounds.chain import chain_of

DIGITS = tw.data.digits().subset(train=200, test=50)
IMAGES = tw.data.digits(image=True).subset(train=40, test=10)


def dense(function: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of an affine map, with its bias as a further column."""
    size = int(np.prod(shape))
    with torch.no_grad():
        at_zero = function(torch.zeros(1, *shape, dtype=torch.float64)).reshape(-1)
        columns = function(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).reshape(size, -1) - at_zero
    return torch.cat([columns.T, at_zero[:, None]], 1).numpy()


def with_one(matrix: np.ndarray) -> np.ndarray:
    """The same with a row that passes the constant input on."""
    row = np.zeros((1, matrix.shape[1]))
    row[0, -1] = 1
    return np.vstack([matrix, row])


def test_linear_layers_have_the_norms_of_their_matrices() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 7, 10), DIGITS, dtype=torch.float64)
    population, initial = problem.initialize(3), problem.initialize([9])
    found = bounds.layer_norms(problem, population, initial=initial)
    for member in range(3):
        module, start = population.module(member), initial.module(0)
        first = with_one(dense(module.hidden1, (64,)))
        last = dense(module.output, (7,))
        for place, matrix in enumerate((first, last)):
            assert found["spectral"][member, place] == pytest.approx(np.linalg.norm(matrix, 2))
            assert found["Frobenius"][member, place] == pytest.approx(np.linalg.norm(matrix))
            assert found["(2,1)"][member, place] == pytest.approx(np.linalg.norm(matrix, axis=1).sum())
        away = dense(module.output, (7,)) - dense(start.output, (7,))
        assert found["Frobenius distance"][member, 1] == pytest.approx(np.linalg.norm(away))
        assert found["(2,1) distance"][member, 1] == pytest.approx(np.linalg.norm(away, axis=1).sum())
    assert found.product("spectral").shape == (3,)


def test_norms_of_convolutions_are_not_below_those_of_their_matrices() -> None:
    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(4, 10),
        )  # fmt: skip

    problem = tw.Problem(model, IMAGES, dtype=torch.float64)
    population = problem.initialize(1)
    found, module = bounds.layer_norms(problem, population), population.module(0)
    matrices = [with_one(dense(module[0], (1, 8, 8))), with_one(dense(module[3], (3, 4, 4)))]
    for place, matrix in enumerate(matrices):
        sizes = np.linalg.norm(matrix, 2), np.linalg.norm(matrix), np.linalg.norm(matrix, axis=1).sum()
        for name, size in zip(("spectral", "Frobenius", "(2,1)"), sizes, strict=True):
            assert size * (1 - 1e-9) <= found[name][0, place] < 4 * size


def test_products_of_norms_bound_what_the_network_does() -> None:
    """|f(x)| <= product of spectral norms times |(x, 1)|, whatever the weights."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 20, 20, 10), DIGITS, dtype=torch.float64)
    population = problem.initialize(4)
    product = bounds.layer_norms(problem, population).product("spectral")
    outputs = tw.evaluation.outputs(problem, population, on="train").norm(dim=2).numpy()
    longest = np.hypot(torch.as_tensor(DIGITS.train.inputs).double().norm(dim=1).numpy(), 1.0)
    assert (outputs <= product[:, None] * longest * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("model", "data", "why"),
    [
        (lambda: tw.nets.resnet(4), IMAGES, "normalization"),
        (lambda: nn.Sequential(nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 10)), DIGITS, "not 0 at 0"),
    ],
)
def test_where_the_product_form_is_not_stated_the_operation_is_named(model, data, why) -> None:
    problem = tw.Problem(model, data)
    with pytest.raises(ModelError, match=f"one layer after the other, and here .* {why}"):
        bounds.layer_norms(problem, problem.initialize(1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x + self.inner(x).relu())


def test_branches_are_refused() -> None:
    problem = tw.Problem(Residual, DIGITS)
    with pytest.raises(ModelError, match="residual networks"):
        bounds.layer_norms(problem, problem.initialize(1))


def test_an_initialization_of_others_is_refused() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 7, 10), DIGITS)
    with pytest.raises(UsageError, match="where each of the 3 members began"):
        bounds.layer_norms(problem, problem.initialize(3), initial=problem.initialize(2))


def test_weights_that_are_shared_count_once() -> None:
    chain = chain_of(tw.Problem(lambda: tw.nets.convnet((4,), image=(1, 8, 8)), IMAGES))
    weights = 4 * 9 + 4
    expected = bounds.relu_dimension([weights, 4 * 16 * 10 + 10], [4 * 64, 45])
    assert dimension_of(chain, 10) == pytest.approx(expected)


def test_margins_of_yes_and_no() -> None:
    x = torch.tensor([[1.0], [2.0], [-3.0]])
    problem = tw.Problem(lambda: nn.Linear(1, 1, bias=False), (x, torch.tensor([[1.0], [0.0], [0.0]])), "logistic")
    at = problem.initialize(1).with_theta(torch.ones(1, 1))
    assert bounds.margins(problem, at).tolist() == [[1.0, -2.0, 3.0]]
    broken = at.with_theta(torch.full((1, 1), torch.nan))
    assert bounds.margins(problem, broken).tolist() == [[-np.inf] * 3]


def test_regressions_have_no_margins() -> None:
    data = tw.data.gaussian_linear(20, 3, test=0)
    problem = tw.Problem(lambda: nn.Linear(3, 2), (data.train.inputs, torch.zeros(20, 2)), "squared_error")
    with pytest.raises(ModelError, match="one class an example"):
        bounds.margins(problem, problem.initialize(1))
