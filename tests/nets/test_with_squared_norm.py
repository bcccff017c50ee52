"""Weight decay within a loss: its gradient is that of the loss and the decay times the parameters."""

import torch
from torch.nn import functional

import thalweg as tw
from thalweg.population import Batch
from thalweg.population.derivatives import gradient

DECAY = 0.3


def test_the_gradient_holds_the_decay() -> None:
    data = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3

    def decayed(outputs, target):
        return functional.cross_entropy(outputs[0], target, reduction="none") + DECAY / 2 * outputs[1]

    plain = tw.Problem(lambda: tw.nets.mlp(4, 5, 3), data, dtype=torch.float64)
    problem = tw.Problem(lambda: tw.nets.WithSquaredNorm(tw.nets.mlp(4, 5, 3)), data, decayed, dtype=torch.float64)
    one, other = plain.initialize(3), problem.initialize(3)
    assert torch.equal(one.theta, other.theta)
    batch = Batch.range(problem.data.train, 0, 20)
    wanted = gradient(plain, one, Batch.range(plain.data.train, 0, 20)) + DECAY * one.theta
    torch.testing.assert_close(gradient(problem, other, batch), wanted)
