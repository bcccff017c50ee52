"""What a mask leaves out is zero and stays zero, whatever the rule does with whole tensors."""

import pytest
import torch

import thalweg as tw
from thalweg import optim

AROUND = {
    "centralized": optim.Centralized(optim.SGD(0.1)),
    "orthogonal": optim.Orthogonal(optim.SGD(0.1)),
    "grokfast": optim.Grokfast(optim.Adam(0.01)),
    "sam": optim.SAM(optim.Momentum(0.1)),
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
    assert not run.final.theta[~mask].any()
    assert run.final.theta[mask].all()
    assert (run.diverged_at == -1).all()
    if name == "averaged":
        assert not run.averaged.theta[~mask].any()
