"""The Fisher-Rao norm against gradients of each example alone and the closed form of ReLU networks."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE, Case, every
from curvature.planted import relu_network
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import thalweg as tw
from thalweg.curvature import fisher_rao_norm
from thalweg.population import Population


def _gradients(problem: tw.Problem, population: Population, member: int) -> Tensor:
    """Of each example alone, by brute force: (examples, parameters)."""
    module, train = population.module(member).eval(), problem.data.train
    parameters = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    rows = []
    for i in range(len(train)):
        inputs, targets = train.slice(i, i + 1)
        arguments = (inputs,) if isinstance(inputs, Tensor | dict) else inputs

        def loss(tensors: dict[str, Tensor], arguments: Any = arguments, targets: Any = targets) -> Tensor:
            named = isinstance(arguments[0], dict)
            outputs = functional_call(module, tensors, () if named else arguments, arguments[0] if named else None)
            return problem.loss.mean(outputs, targets)

        rows.append(population.layout.pack(jacrev(loss)(parameters)))
    return torch.stack(rows)


@every([CASE["mlp"], CASE["regression"], CASE["batchnorm"], CASE["two inputs"], CASE["two outputs"], CASE["frozen"]])
def test_fisher_rao_is_the_mean_of_squares_of_per_example_gradients(case: Case) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(3)
    found = fisher_rao_norm(problem, population)
    for member in range(3):
        squares = (_gradients(problem, population, member) @ population.theta[member]).square().numpy()
        assert found["squared norm"][member] == pytest.approx(squares.mean(), rel=1e-9)
        error = squares.std(ddof=1) / len(squares) ** 0.5
        assert found.reading.standard_errors["squared norm"][member] == pytest.approx(error, rel=1e-9)
        assert int(found.reading.degrees_of_freedom["squared norm"]) == len(squares) - 1
    assert found.reading.units["squared norm"] == (f"{problem.loss.unit}^2" if problem.loss.unit else "")
    product = (tw.curvature.fisher(problem, population)(population.theta) * population.theta).sum(1)
    np.testing.assert_allclose(found["squared norm"], product, rtol=1e-9)


def test_fisher_rao_of_a_relu_network_needs_only_its_outputs() -> None:
    """k^2 times the mean of (f . dl/df)^2 for k layers: Liang et al., theorem 3.1."""
    problem = relu_network()
    population = problem.initialize(2)
    train = problem.data.train
    for member in range(2):
        outputs = population.module(member)(train.inputs).detach()
        gradients = torch.softmax(outputs, 1) - nn.functional.one_hot(train.targets, 3)
        wanted = 4 * (outputs * gradients).sum(1).square().mean()
        assert fisher_rao_norm(problem, population)["squared norm"][member] == pytest.approx(float(wanted))
