"""A problem whose runs have a closed form, and one with noise of seeds and batches."""

import torch
from torch import Tensor, nn

import thalweg as tw

CURVATURE = torch.tensor([1.0, 4.0], dtype=torch.float64)


class Bowl(nn.Module):
    """Returns theta, from (1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta + 0 * x


def bowl() -> tw.Problem:
    """sum(h theta^2)/2 with h = 1 and 4: gradient descent is stable up to a rate of 1/2, and best at 2/5."""
    rows = torch.zeros(4, 2)
    return tw.Problem(Bowl, (rows, torch.zeros(4)), lambda o, t: (CURVATURE * o**2).sum(-1) / 2, dtype=torch.float64)


def loss_of(rate: float, steps: int) -> float:
    """What gradient descent ends with on the bowl."""
    return float((CURVATURE * (1 - rate * CURVATURE) ** (2 * steps)).sum() / 2)


def noisy(draw: int) -> tw.Problem:
    """Two classes that overlap, 20 examples to train on and 20 others: it matters which seed, batch and loss count."""
    generator = torch.Generator().manual_seed(draw)
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(40, generator=generator, dtype=torch.float64) > 0).long()
    data = tw.data.Data(tw.data.Examples(x[:20], y[:20]), tw.data.Examples(x[20:], y[20:]))
    return tw.Problem(lambda: nn.Linear(3, 2), data, "cross_entropy", dtype=torch.float64)
