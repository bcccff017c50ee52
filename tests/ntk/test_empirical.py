"""Tangent kernels of finite networks against gradients taken one by one."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

import thalweg as tw
from thalweg.ntk.gram.program import values_of
from thalweg.population.binding import call

from .models import CASES, population_of, problem_of


def jacobian(problem: tw.Problem, population: tw.Population, member: int, inputs) -> Tensor:
    """(examples, outputs, parameters), a backward pass at a time; embeddings' padding as torch has it."""
    module = population.module(member).eval()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    rows = []
    for number in range(len(tree_leaves(inputs)[0])):
        values = values_of(call(module, tree_map(lambda leaf, number=number: leaf[number : number + 1], inputs)))
        for value in values:
            parts = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([part.reshape(-1) for part in parts]))
    rows = torch.stack(rows)
    if population.mask is not None:
        rows = rows * population.mask[member]
    return rows.view(-1, len(values), rows.shape[-1])


def kernel(first: Tensor, second: Tensor) -> Tensor:
    """(examples, others, outputs, outputs)."""
    return torch.einsum("acp,bdp->abcd", first, second)


def assert_close(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-10 * wanted.abs().max()


@pytest.mark.parametrize("name", CASES)
def test_all_methods_give_the_gram_matrix_of_gradients(name: str) -> None:
    problem = problem_of(name)
    population = population_of(problem)
    inputs, others = problem.data.train.slice(0, 4)[0], problem.data.train.slice(4, 7)[0]
    first, second = ([jacobian(problem, population, member, some) for member in range(2)] for some in (inputs, others))
    own = torch.stack([kernel(one, one) for one in first])
    cross = torch.stack([kernel(one, other) for one, other in zip(first, second, strict=True)])
    for method in ("layers", "jacobian", "products"):
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, method=method), own)
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, others, method=method), cross)


@pytest.mark.parametrize("name", ["perceptron", "convnet", "transformer", "tied", "lookups", "convolutions"])
@pytest.mark.parametrize("method", ["layers", "jacobian", "products"])
def test_traces_diagonals_and_sums_are_those_of_the_full_kernel(name: str, method: str) -> None:
    problem = problem_of(name)
    population, inputs = population_of(problem), problem.data.train.slice(0, 5)[0]
    full = tw.ntk.empirical_kernels(problem, population, inputs, method="jacobian")
    wanted = {
        "trace": full.diagonal(dim1=3, dim2=4).mean(-1),
        "diagonal": full.diagonal(dim1=3, dim2=4).diagonal(dim1=1, dim2=2).mT,
        "sum": full.sum((3, 4)),
    }
    for outputs, tensor in wanted.items():
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, outputs=outputs, method=method), tensor)


def test_the_kernel_is_what_finite_differences_say() -> None:
    problem = problem_of("perceptron")
    population, inputs = problem.initialize(1), problem.data.train.inputs[:3]
    step, columns = 1e-5, []
    for column in range(problem.layout.parameters):
        change = torch.zeros_like(population.theta)
        change[0, column] = step
        ends = [population.with_theta(population.theta + sign * change).module(0)(inputs) for sign in (1, -1)]
        columns.append((ends[0] - ends[1]) / (2 * step))
    rows = torch.stack(columns, -1).detach()
    found = tw.ntk.empirical_kernels(problem, population, inputs)[0]
    assert (found - kernel(rows, rows)).abs().max() < 1e-8 * found.abs().max()


def test_the_kernel_of_a_linear_model_is_known() -> None:
    inputs = torch.randn(6, 4, dtype=torch.float64)
    problem = tw.Problem(lambda: tw.nets.mlp(4, 3), (inputs, torch.arange(6) % 3), dtype=torch.float64)
    found = tw.ntk.empirical_kernels(problem, problem.initialize(1), inputs)[0]
    assert_close(found, (inputs @ inputs.T + 1)[..., None, None] * torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "method"),
    [("perceptron", "layers"), ("convolutions", "layers"), ("lookups", "jacobian"), ("perceptron", "products")],
)
@pytest.mark.parametrize("outputs", ["full", "trace", "diagonal"])
def test_tiles_give_the_same_kernel(name: str, method: str, outputs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(name)
    population, inputs = population_of(problem, 3), problem.data.train.slice(0, 5)[0]
    whole = tw.ntk.empirical_kernels(problem, population, inputs, outputs=outputs, method=method)
    for members, examples, some in ((2, 3, 100), (1, 5, 2), (3, 2, 2)):
        tiling = tw.ntk.gram.tiles.Tiling(members, examples, some, 50)
        monkeypatch.setattr("thalweg.ntk.gram.kernels.tiling_of", lambda *given, tiling=tiling, **named: tiling)
        sizes = members, examples, some
        monkeypatch.setattr("thalweg.ntk.gram.kernels.sizes_of", lambda *given, sizes=sizes, **named: sizes)
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, outputs=outputs, method=method), whole)
        if outputs != "diagonal":
            cross = tw.ntk.empirical_kernels(problem, population, inputs, inputs, outputs=outputs, method=method)
            assert_close(cross, whole)


def test_blocks_give_the_same_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("perceptron", "convolutions"):
        problem = problem_of(name)
        population, inputs = population_of(problem), problem.data.train.slice(0, 7)[0]
        whole = tw.ntk.empirical_kernels(problem, population, inputs, method="jacobian")
        monkeypatch.setattr("thalweg.ntk.gram.contraction._ROWS", 6)
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, method="layers"), whole)


def test_a_masked_parameter_is_no_part_of_the_kernel() -> None:
    problem = problem_of("convnet")
    population = population_of(problem)
    keep = torch.rand(population.theta.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    keep[:, problem.layout["output.weight"].columns] = True
    population = population.with_mask(keep)
    inputs = problem.data.train.slice(0, 4)[0]
    rows = [jacobian(problem, population, member, inputs) for member in range(2)]
    wanted = torch.stack([kernel(one, one) for one in rows])
    for method in ("layers", "jacobian", "products"):
        assert_close(tw.ntk.empirical_kernels(problem, population, inputs, method=method), wanted)
    ways = tw.ntk.empirical_cost(problem, population).ways
    assert ways["output.weight"] == "factors"
    assert ways["convolution1.weight"] == "gradients"


@pytest.mark.parametrize("by_layer", ["module", "parameter"])
@pytest.mark.parametrize("method", ["layers", "products"])
def test_layers_sum_to_the_whole(by_layer: str, method: str) -> None:
    problem = problem_of("tied transformer")
    population = population_of(problem)
    whole = tw.ntk.empirical(problem, population, method=method)
    found = tw.ntk.empirical(problem, population, by_layer=by_layer, method=method)
    np.testing.assert_allclose(found["kernel"], whole["kernel"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["layers"].sum(0), whole["kernel"], rtol=1e-10, atol=1e-10)
    names = [entry.name if by_layer == "parameter" else entry.module for entry in problem.layout]
    assert found.reading.coordinate("layer").tolist() == list(dict.fromkeys(names))
    one = names.index("norm.weight" if by_layer == "parameter" else "norm")
    layer = list(dict.fromkeys(names)).index(names[one])
    rows = jacobian(problem, population, 1, problem.data.train.inputs)
    own = [entry.columns for entry, name in zip(problem.layout, names, strict=True) if name == names[one]]
    part = torch.cat([rows[..., columns] for columns in own], -1)
    np.testing.assert_allclose(found["layers"][layer, 1], kernel(part, part), rtol=1e-10, atol=1e-10)


def test_an_ensemble_has_the_kernels_of_its_members() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    population, inputs = problem.initialize(50), problem.data.train.inputs[:6]
    found = tw.ntk.empirical_kernels(problem, population, inputs)
    alone = tw.ntk.empirical_kernels(problem, population[17], inputs)
    assert torch.allclose(found[17:18], alone, rtol=1e-5, atol=1e-5)


def test_padding_rows_are_no_part_of_the_kernel() -> None:
    problem = problem_of("lookups")
    population = population_of(problem)
    pads = torch.zeros(1, 3, dtype=torch.int64)
    found = tw.ntk.empirical(problem, population, on=tw.data.Examples(pads, torch.zeros(1)), by_layer="parameter")
    assert np.abs(found["layers"][0]).max() == 0 < np.abs(found["layers"][1]).max()
