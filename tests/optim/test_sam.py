"""Sharpness-aware minimization against a loop straight from the paper, and on a parabola."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import CASE
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError

LR, RHO, STEPS = 0.2, 0.3, 8


class Point(nn.Module):
    """One number as a network."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.x.expand(len(inputs), 1)


@pytest.mark.parametrize("curvature", [0.5, 2.0])
def test_on_a_parabola_it_ends_in_the_two_cycle_of_the_closed_form(curvature: float) -> None:
    zeros = torch.zeros(8, 1, dtype=torch.float64)
    problem = tw.Problem(Point, (zeros, zeros), loss=lambda out, y: curvature * (out - y) ** 2 / 2)
    rhos = [0.1, 0.5, 1.0]
    recipe = tw.Recipe(optim.SAM(optim.SGD(LR), rho=tw.sweep.values(rhos)), 400, snapshot=(399,))
    run = tw.train(problem, recipe)
    amplitude = LR * curvature * torch.tensor(rhos, dtype=torch.float64) / (2 - LR * curvature)
    torch.testing.assert_close(run.final.theta[:, 0].abs(), amplitude, rtol=1e-12, atol=0)
    torch.testing.assert_close(run.snapshots[399].theta, -run.final.theta, rtol=1e-12, atol=0)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("name", ["mlp", "batchnorm"])
@pytest.mark.parametrize("plan", ["looped", "stacked"])
def test_steps_equal_a_loop_of_the_paper(name: str, adaptive: bool, plan: str) -> None:
    case = CASE[name].double() if hasattr(CASE[name], "double") else CASE[name]
    problem = case.problem(data=(CASE[name].inputs.double(), CASE[name].targets))
    recipe = tw.Recipe(optim.SAM(optim.Momentum(LR, 0.9), rho=RHO, adaptive=adaptive), STEPS)
    run = tw.train(problem, recipe, seeds=2, plan=plan)
    inputs, targets = problem.data.train.inputs, problem.data.train.targets
    for member in range(2):
        module = problem.initialize([member]).module(0).train()
        parameters = list(module.parameters())
        velocity = [torch.zeros_like(p) for p in parameters]
        for _ in range(STEPS):
            first = torch.autograd.grad(F.cross_entropy(module(inputs), targets), parameters)
            size = [p.detach().abs() if adaptive else torch.ones_like(p) for p in parameters]
            norm = sum(((s * g) ** 2).sum() for s, g in zip(size, first, strict=True)) ** 0.5
            buffers = [b.clone() for b in module.buffers()]
            with torch.no_grad():
                step = [RHO * s * s * g / norm for s, g in zip(size, first, strict=True)]
                for p, e in zip(parameters, step, strict=True):
                    p += e
            second = torch.autograd.grad(F.cross_entropy(module(inputs), targets), parameters)
            with torch.no_grad():
                for b, kept in zip(module.buffers(), buffers, strict=True):
                    b.copy_(kept)
                for p, e, v, g in zip(parameters, step, velocity, second, strict=True):
                    p -= e
                    v.mul_(0.9).add_(g)
                    p -= LR * v
        got = run.final.module(member)
        for mine, theirs in zip(got.parameters(), parameters, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)
        for mine, theirs in zip(got.buffers(), module.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_rho_zero_is_the_rule_itself_and_masks_stay() -> None:
    problem = CASE["mlp"].problem()
    mask = torch.rand(problem.layout.parameters, generator=torch.Generator().manual_seed(0)) > 0.5
    plain = tw.train(problem, tw.Recipe(optim.AdamW(0.01), 6, 8), 2, mask=mask, plan="looped")
    recipe = tw.Recipe(optim.SAM(optim.AdamW(0.01), rho=tw.sweep.values([0.0, 0.2])), 6, 8)
    run = tw.train(problem, recipe, 2, mask=mask, plan="looped")
    assert torch.equal(run.final.theta[:2], plain.final.theta)
    assert not torch.equal(run.final.theta[2:], plain.final.theta)
    assert (run.final.theta[:, ~mask] == 0).all()
    half = tw.train(problem, recipe, 2, mask=mask, plan="looped", until=3)
    assert torch.equal(tw.train(problem, recipe, 2, resume=half).final.theta, run.final.theta)


def test_dropout_is_the_same_at_both_points() -> None:
    problem = CASE["dropout"].problem()
    plain = tw.train(problem, tw.Recipe(optim.SGD(0.1), 5, 8), 2)
    same = tw.train(problem, tw.Recipe(optim.SAM(optim.SGD(0.1), rho=0.0), 5, 8), 2)
    assert torch.equal(plain.final.theta, same.final.theta)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: optim.SAM(optim.Nesterov(0.1)),
            r'Nesterov takes it ahead; write Nesterov\(look="reformulated"\) or Momentum inside it',
        ),
        (lambda: optim.SAM(optim.SAM(optim.SGD(0.1))), "SAM wraps a rule that has rho too"),
        (lambda: optim.SAM(optim.SGD(0.1), rho="big"), "SAM rho must be a number"),
    ],
)
def test_what_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
