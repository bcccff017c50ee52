"""Weighted problems, and what plain torch says of their losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import thalweg as tw
from thalweg.population import Population, Problem
from thalweg.randomness import generator

DRAW = generator(0, "weighted cases")
IGNORED = -100


@dataclass(frozen=True)
class Weighted:
    """A problem, and its loss of given outputs and targets by one call of torch."""

    model: Callable[[], nn.Module]
    data: tuple[Tensor, Any]
    loss: Any
    by_torch: Callable[[Tensor, Any], Tensor]
    positions: int = 1

    def problem(self, **options: Any) -> Problem:
        return Problem(self.model, self.data, self.loss, **({"dtype": torch.float64} | options))

    def value(self, population: Population, member: int, theta: Tensor | None = None) -> Tensor:
        """The objective of a member on all examples, as a function of its parameters."""
        return self.of(population, member, self.data[0], self.data[1], theta)

    def of(self, population: Population, member: int, inputs: Tensor, targets: Any, theta: Tensor | None) -> Tensor:
        theta = population.theta[member] if theta is None else theta
        module = population.module(member).eval()
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        return self.by_torch(functional_call(module, population.layout.views(theta), (inputs,)), targets)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def tokens() -> nn.Module:
    return tw.nets.transformer(5, 6, width=4, heads=2, depth=1)


COUNT = 45
X = torch.randn(COUNT, 3, generator=DRAW)
SORTED = torch.arange(COUNT) // 15
HOLES = SORTED.masked_fill(torch.rand(COUNT, generator=DRAW) < 0.4, IGNORED)
HOLES[:12] = IGNORED  # the first few, and whole batches
CLASS = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
TOKENS = torch.randint(5, (COUNT, 6), generator=DRAW)
LENGTHS = 1 + (torch.arange(COUNT) * 7) % 6
PADDED = torch.where(torch.arange(6) < LENGTHS[:, None], TOKENS.roll(-1, 1), IGNORED)
PADDED[3] = IGNORED
TOKEN_CLASS = torch.tensor([1.0, 0.5, 4.0, 0.0, 2.0], dtype=torch.float64)
IMPORTANCE = torch.rand(COUNT, generator=DRAW) * (torch.arange(COUNT) % 4 > 0)


def _important(output: Tensor, target: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(output, target[0], reduction="none"), target[1]


def _important_torch(output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    weights = target[1].to(output.dtype)
    return (weights * F.cross_entropy(output, target[0], reduction="none")).sum() / weights.sum()


def _padded(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(output.mT, target.clamp_min(0), reduction="none"), target >= 0


def _by_hand(output: Tensor, target: Tensor) -> Tensor:
    """One number for the batch: 0 / 0 with a gradient of NaN where nothing counts."""
    values, kept = F.cross_entropy(output.mT, target.clamp_min(0), reduction="none"), (target >= 0).double()
    return (values * kept).sum() / kept.sum()


def _flat(**options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda output, target: F.cross_entropy(output.flatten(0, -2), target.flatten(), **options)


CrossEntropy = tw.losses.CrossEntropy
WEIGHTED = {
    "classes, sorted": Weighted(small, (X, SORTED), CrossEntropy([1.0, 5.0, 20.0]), _flat(weight=CLASS)),
    "ignored": Weighted(small, (X, HOLES), CrossEntropy(ignore_index=IGNORED), _flat()),
    "both": Weighted(small, (X, HOLES), CrossEntropy(CLASS, IGNORED), _flat(weight=CLASS)),
    "smoothed": Weighted(
        small,
        (X, HOLES),
        CrossEntropy(ignore_index=IGNORED, label_smoothing=0.2),
        _flat(label_smoothing=0.2),
    ),
    "padded": Weighted(tokens, (TOKENS, PADDED), CrossEntropy(ignore_index=IGNORED), _flat(), 6),
    "padded, classes": Weighted(
        tokens, (TOKENS, PADDED), CrossEntropy(TOKEN_CLASS, IGNORED), _flat(weight=TOKEN_CLASS), 6
    ),
    "padded, by a function": Weighted(tokens, (TOKENS, PADDED), _padded, _flat(), 6),
    "classes, one number": Weighted(small, (X, HOLES), nn.CrossEntropyLoss(CLASS), _flat(weight=CLASS)),
    "padded, by hand": Weighted(tokens, (TOKENS, PADDED), _by_hand, _flat(), 6),
    "importance, by a function": Weighted(small, (X, (SORTED, IMPORTANCE)), _important, _important_torch),
}
over_weighted = pytest.mark.parametrize("case", WEIGHTED.values(), ids=list(WEIGHTED))
