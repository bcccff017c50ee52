"""A masked network trains as if only its active parameters were stored."""

import pytest
import torch
from torch.func import functional_call

import thalweg as tw

STEPS = 100


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (
            tw.optim.Momentum(0.05, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
        ),
        (tw.optim.AdamW(0.01), lambda p: torch.optim.AdamW(p, lr=0.01, eps=tw.optim.AdamW(0.01).eps)),
    ],
    ids=["momentum", "adamw"],
)
def test_masked_training_is_training_of_the_parameters_that_are_left(rule, theirs) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 6, generator=draw).double(), torch.randint(0, 3, (40,), generator=draw)
    problem = tw.Problem(lambda: tw.nets.mlp(6, 8, 5, 3, activation="tanh").double(), (x, y))
    first = problem.initialize(1)
    mask = tw.tickets.prune(problem, first.theta.abs(), 0.3)
    recipe = tw.Recipe(rule, STEPS, clip_norm=0.3)
    run = tw.train(problem, recipe, start=first, mask=mask, progress=None)

    places = mask[0].nonzero().flatten()
    stored = torch.nn.Parameter(first.theta[0, places].clone())
    optimizer, module = theirs([stored]), first.module(0)
    if "weight_decay" in rule.hyper_parameters():
        optimizer.param_groups[0]["weight_decay"] = rule.hyper_parameters()["weight_decay"]
    for _ in range(STEPS):
        optimizer.zero_grad()
        theta = torch.zeros(problem.layout.parameters, dtype=torch.float64).index_put((places,), stored)
        outputs = functional_call(module, problem.layout.views(theta), (x,))
        torch.nn.functional.cross_entropy(outputs, y).backward()
        torch.nn.utils.clip_grad_norm_([stored], 0.3)
        optimizer.step()
    assert float((run.final.theta[0, places] - stored.detach()).abs().max()) < 1e-10
    assert not run.final.theta[0][~mask[0]].any()
