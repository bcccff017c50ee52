"""What a mask leaves out is zero and stays zero, whatever the rule does with whole tensors."""

import pytest
import torch

import thalweg as tw
from thalweg import optim

AROUND = {
    "centralized": optim.Centralized(optim.SGD(0.1)),
    "orthogonal": optim.Orthogonal(optim.SGD(0.1)),
    "slimming": optim.Slimming(optim.SGD(0.1)),
    "grokfast": optim.Grokfast(optim.Adam(0.01)),
    "frozen norm": optim.FrozenNorm(optim.Adam(0.01)),
    "sam": optim.SAM(optim.Momentum(0.1)),
    "centralized, ahead": optim.Centralized(optim.Nesterov(0.1)),
    "centralized, schedule-free": optim.Centralized(optim.ScheduleFreeSGD(0.1)),
    "averaged": optim.Averaged(optim.Muon(0.01)),
}
EVERY = {name: rule(0.01) for name, rule in optim.RULES.items()} | AROUND


@pytest.mark.parametrize("name", EVERY)
def test_masked_parameters_stay_zero(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=draw), torch.arange(30) % 3
    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 6, 3), (x, y))
    mask = torch.rand(2, problem.layout.parameters, generator=draw) < 0.7
    run = tw.train(problem, tw.Recipe(EVERY[name], 12), 2, mask=mask)
    # What is outside a mask is nowhere seen: weights there that differ lead to the same run.
    changed = problem.initialize(2)
    changed = changed.with_theta(torch.where(mask, changed.theta, changed.theta + 1))
    again = tw.train(problem, tw.Recipe(EVERY[name], 12), start=changed, seeds=2, mask=mask, paired=True)
    assert torch.equal(run.final.theta, again.final.theta)
    assert not run.final.theta[~mask].any()
    assert run.final.theta[mask].all()
    assert (run.diverged_at == -1).all()
    if name == "averaged":
        assert not run.averaged(problem).theta[~mask].any()


@pytest.mark.parametrize(
    "rule", [optim.Nesterov(0.1), optim.ScheduleFreeSGD(0.1)], ids=lambda rule: type(rule).__name__
)
def test_gradients_ahead_are_taken_within_the_mask(rule: optim.Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Centralized gradients move the velocity of masked parameters; the point ahead must not follow it."""
    from thalweg.training.loop import Loop

    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 6, 3), (x, torch.arange(30) % 3))
    mask = torch.rand(1, problem.layout.parameters, generator=torch.Generator().manual_seed(1)) < 0.7
    points, inner = [], Loop._gradient
    monkeypatch.setattr(Loop, "_gradient", lambda loop: (points.append(loop.point.clone()), inner(loop))[1])
    tw.train(problem, tw.Recipe(optim.Centralized(rule), 5), 1, mask=mask)
    assert len(points) == 5
    assert all(not point[~mask].any() for point in points)
