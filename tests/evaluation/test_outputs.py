"""Outputs of populations: those of the modules in evaluation mode, of all examples or of some for each member."""

import pytest
import torch
from cases import CASE, CASES, Case, every_with, plain_call
from torch import nn
from torch.utils._pytree import tree_leaves

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.evaluation import outputs
from thalweg.evaluation.outputs import outputs_in_parts

PLANS = ("stacked", "looped", "auto")


@every_with(CASES, {plan: plan for plan in PLANS})
def test_outputs_are_those_of_the_modules(case: Case, plan: str) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(3)
    rows = torch.tensor([[0, 5, 5], [1, 2, 3], [23, 0, 7]])
    found, own = outputs(problem, population, plan=plan), outputs(problem, population, "train", rows=rows, plan=plan)
    for member in range(3):
        module = population.module(member).eval()
        with torch.no_grad():
            wanted = tree_leaves(plain_call(module, problem.data.train.inputs))
        for leaf, mine, one in zip(tree_leaves(found), tree_leaves(own), wanted, strict=True):
            torch.testing.assert_close(leaf[member], one, rtol=1e-9, atol=1e-11)
            torch.testing.assert_close(mine[member], one[rows[member]], rtol=1e-9, atol=1e-11)


class Pair(nn.Module):
    """Returns two tensors by name, and counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"out": self.layer(x), "twice": (self.layer(x) * 2).sum(1)}


@pytest.mark.parametrize("plan", ["looped", "stacked"])
def test_structures_are_kept_and_buffers_put_back(plan: str) -> None:
    x = torch.randn(1_100, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(Pair, (x, torch.zeros(1_100, 3)), lambda found, y: ((found["out"] - y) ** 2).mean(1))
    population = problem.initialize(2)
    found = outputs(problem, population, plan=plan)
    assert found["out"].shape == (2, 1_100, 3)
    torch.testing.assert_close(found["twice"], 2 * found["out"].sum(2))
    torch.testing.assert_close(found["out"][1], population.module(1).layer(x).detach(), rtol=1e-5, atol=1e-6)
    assert not population.buffers["calls"].any()


def test_what_cannot_be_meant() -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match="outputs on is one of train, test"):
        outputs(problem, problem.initialize(1), "all")
    with pytest.raises(UsageError, match="outputs rows must be indices of the 24 examples, 0 to 23; got 30"):
        outputs(problem, problem.initialize(1), "train", rows=[[30]])


@pytest.mark.parametrize(("budget", "counts"), [(2**30, [24]), (2 * 4 * 4 * 10, [10, 10, 4]), (1, [1] * 24)])
def test_parts_fit_the_memory_budget_and_are_the_whole_together(budget: int, counts: list[int]) -> None:
    data = torch.randn(24, 4, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3
    problem = tw.Problem(
        Pair, data, lambda found, y: nn.functional.cross_entropy(found["out"], y), memory_budget=budget
    )
    population, train = problem.initialize(2), problem.data.train
    parts = list(outputs_in_parts(problem, population, train, plan="looped"))
    assert [len(examples) for examples, _ in parts] == counts
    whole = outputs(problem, population, "train", plan="looped")
    for name, leaf in whole.items():
        torch.testing.assert_close(torch.cat([answers[name] for _, answers in parts], 1), leaf)
    assert torch.equal(torch.cat([examples.slice(0, len(examples))[1] for examples, _ in parts]), train.targets)
