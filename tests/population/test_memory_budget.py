"""The memory budget holds: bytes that torch's allocator hands out, as its profiler counts them."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import thalweg as tw
from thalweg.population import Batch, Execution
from thalweg.population.derivatives import jacobian_product
from thalweg.randomness import generator

DRAW = generator(0, "test memory budget")
X, Y = torch.randn(600, 20, generator=DRAW), torch.randint(5, (600,), generator=DRAW)
MEMBERS, BUDGET, WITHIN = 5, 2**19, 1.15

MODELS = {
    # A single large activation: while a gradient is taken there are three of its size.
    "one layer": lambda: nn.Sequential(nn.Linear(20, 300), nn.ReLU(), nn.Linear(300, 5)),
    "many layers": lambda: tw.nets.mlp(20, *[48] * 4, 5),
    "normalized": lambda: nn.Sequential(
        nn.Linear(20, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 64), nn.Softplus(), nn.Linear(64, 5)
    ),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 20)),
        nn.Conv1d(1, 8, 5),
        nn.ReLU(),
        nn.Conv1d(8, 8, 5),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(96, 5),
    ),
}


def peak(action) -> int:
    """Bytes allocated at most at any time, beside what there was before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        action()
    events = [one for one in profiled.profiler.kineto_results.events() if one.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda one: one.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most


@pytest.fixture(params=MODELS)
def problem(request):
    return tw.Problem(MODELS[request.param], (X, Y), memory_budget=BUDGET)


def test_training_and_evaluation_keep_to_it(problem):
    population = problem.initialize(MEMBERS)
    rows = torch.stack([torch.randperm(600, generator=DRAW)[:32] for _ in range(MEMBERS)])
    batch, out = Batch.of(problem.data.train, rows), torch.empty_like(population.theta)
    execution = Execution(problem, population, batch, plan="stacked")
    execution.gradient(batch, out)
    assert execution.plan.chunk > 1  # or there would be nothing to keep to
    assert peak(lambda: execution.gradient(batch, out)) < WITHIN * BUDGET
    for plan in ("stacked", "looped"):
        evaluator = tw.evaluation.Evaluator(problem, population, problem.data.train, plan=plan)
        evaluator()
        assert peak(evaluator) < WITHIN * BUDGET, plan


def test_products_keep_to_it_beside_what_they_return(problem):
    population = problem.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=DRAW)
    for matrix in (tw.curvature.hessian, tw.curvature.gauss_newton, tw.curvature.fisher):
        A = matrix(problem, population, on=tw.Sample("train", 160))
        A(vectors)
        assert peak(lambda A=A: A(vectors)) < WITHIN * BUDGET + vectors.nbytes, A.name


def test_derivatives_of_a_batch_keep_to_it_beside_what_they_return(problem):
    population = problem.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=DRAW)
    batch = Batch.range(problem.data.train, 0, 64)
    for function in (
        lambda: tw.population.gradient(problem, population, batch),
        lambda: jacobian_product(problem, population, vectors, batch),
    ):
        made = function()
        assert peak(function) < WITHIN * BUDGET + 2 * made.nbytes  # once in chunks, and once joined


def test_examples_at_once_follow_the_budget_and_change_nothing_but_rounding():
    small, large = (tw.Problem(MODELS["one layer"], (X, Y), memory_budget=budget) for budget in (2**18, 2**30))
    population = small.initialize(2)
    made = [tw.evaluation.Evaluator(one, population, one.data.train, plan="looped") for one in (small, large)]
    assert made[0].batch_size < 100
    assert made[1].batch_size == 512
    torch.testing.assert_close(made[0]()["loss"], made[1]()["loss"], rtol=1e-6, atol=0)
