"""Models that change what is trained, have no numbers, or cannot be built: each is told so in one sentence."""

from typing import Any

import pytest
import torch
from population.foreign import RECIPE, X, Y, double  # noqa: F401
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Problem


class Freezing(nn.Module):
    """Freezes its body, or thaws it: when it is called, or when its mode is set."""

    def __init__(self, at: str, thaws: bool) -> None:
        super().__init__()
        self.body, self.out, self.at, self.thaws = nn.Linear(4, 4), nn.Linear(4, 3), at, thaws
        self.body.requires_grad_(not thaws)

    def train(self, mode: bool = True) -> "Freezing":
        if self.at == "mode":
            self.body.requires_grad_(mode == self.thaws)
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.at == "call":
            self.body.requires_grad_(self.thaws)
        return self.out(torch.tanh(self.body(x)))


@pytest.mark.parametrize("thaws", [False, True])
@pytest.mark.parametrize("at", ["call", "mode"])
def test_what_is_trained_is_settled_before(at: str, thaws: bool) -> None:
    says = rf"requires_grad_\({thaws}\) on its parameter 'body.weight' .*training mode.*when the model is built"
    with pytest.raises(ModelError, match=says):
        tw.train(Problem(lambda: Freezing(at, thaws), (X, Y)), RECIPE, seeds=2)


def test_parameters_without_numbers() -> None:
    with pytest.raises(ModelError, match=r"Parameter 'weight' is on the device meta.*build it on the CPU"):
        Problem(lambda: nn.Linear(4, 3, device="meta"), (X, Y))


@pytest.mark.parametrize("make", [nn.Linear, lambda width: nn.Linear(width, 3)])
def test_models_that_need_arguments(make: Any) -> None:
    with pytest.raises(UsageError, match=r"called without arguments, but .* is missing a required.*model=lambda:"):
        Problem(make, (X, Y))
