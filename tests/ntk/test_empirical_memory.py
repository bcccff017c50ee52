"""Tiles stay within a byte budget, as torch's own profiler counts what is allocated."""

import pytest
import torch
from ntk.allocated import peak

import thalweg as tw


def test_the_peak_of_known_work_is_known() -> None:
    def work() -> None:
        first = torch.zeros(1_000, dtype=torch.float64)
        second = first.repeat(4)
        del first
        second.repeat(2)

    assert 96_000 <= peak(work) < 97_000


MODELS = {
    "perceptron": (lambda: tw.nets.mlp(16, 128, 128, 10), (16,)),
    "convnet": (lambda: tw.nets.convnet((8, 16), 10, (1, 8, 8)), (1, 8, 8)),
    "resnet": (lambda: tw.nets.resnet(8, 1, 10, (1, 8, 8)), (1, 8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("members", [1, 4])
def test_the_budget_is_kept(name: str, members: int) -> None:
    model, shape = MODELS[name]
    problem = tw.Problem(model, (torch.randn(16, *shape), torch.arange(16) % 10))
    population, inputs = problem.initialize(members), problem.data.train.inputs
    tw.ntk.empirical_kernels(problem, population[:1], inputs[:1])  # traces the model
    budget = members * (16 * 10) ** 2 * 4 + 6 * 2**20
    used = peak(lambda: tw.ntk.empirical_kernels(problem, population, inputs, method="layers", memory_budget=budget))
    assert (0.5 if name == "resnet" else 0.05) * budget <= used <= 1.1 * budget


def test_a_budget_that_is_too_small_is_refused() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    population, inputs = problem.initialize(1), problem.data.train.inputs[:10]
    with pytest.raises(tw.UsageError, match="kernel alone needs 40,000 bytes"):
        tw.ntk.empirical_kernels(problem, population, inputs, memory_budget=30_000)
    for method in ("layers", "products"):
        with pytest.raises(tw.UsageError, match="raise memory_budget"):
            tw.ntk.empirical_kernels(problem, population, inputs, method=method, memory_budget=40_400)
