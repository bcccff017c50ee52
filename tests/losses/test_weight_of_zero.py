"""Values of weight zero: their derivatives are multiplied by zero, which leaves NaN what is not finite."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.losses.weighted_mean import weighted_mean
from thalweg.randomness import generator

COUNT, WIDTH = 300, 3
DRAW = generator(0, "weight of zero")
X, Y = torch.randn(COUNT, 4, generator=DRAW), torch.randn(COUNT, WIDTH, generator=DRAW)
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _nan(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets that are not known are NaN."""
    y, weight = target.unbind(-1)
    return (output - torch.where(weight > 0, y, torch.nan)) ** 2, weight


def _root(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The derivative of a root at 0 is infinite."""
    y, weight = target.unbind(-1)
    return torch.sqrt((output - y).abs() * weight), weight


def _in_place(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    y, weight = target.unbind(-1)
    return torch.sqrt((output.clamp_(-2, 2) - y).abs_().mul_(weight)), weight


def _harmless(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """As the error says."""
    y, weight = target.unbind(-1)
    return (output - torch.where(weight > 0, y, 0)) ** 2, weight


class Rows(torch.utils.data.Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


def problem(loss: Loss, unknown: Tensor, *, streamed: bool = False) -> tw.Problem:
    """Some targets are not known, which weigh nothing."""
    targets = torch.stack([Y, (~unknown).float().expand_as(Y)], -1)
    data = tw.data.from_user(Rows(X, targets), memory_budget=10) if streamed else (X, targets)
    return tw.Problem(lambda: nn.Linear(4, WIDTH), data, loss)


EXAMPLES = torch.arange(COUNT)[:, None] % 3 == 2
POSITIONS = EXAMPLES & (torch.arange(WIDTH) == 1)
RARE = torch.arange(COUNT)[:, None] == 257  # among none of those that means are tried on


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("unknown", [EXAMPLES, POSITIONS], ids=["examples", "positions"])
@pytest.mark.parametrize("loss", [_nan, _root, _in_place])
def test_derivatives_that_are_not_finite_there_are_named(loss: Loss, unknown: Tensor, streamed: bool) -> None:
    match = f"gradient of the loss '{loss.__name__}' is not finite at values of weight 0.*torch.where"
    with pytest.raises(ModelError, match=match):
        problem(loss, unknown, streamed=streamed)


def test_a_single_one_is_found() -> None:
    with pytest.raises(ModelError, match="is not finite at values of weight 0"):
        problem(_nan, RARE)


@pytest.mark.parametrize("loss", [_nan, _root])
def test_where_everything_counts_such_losses_are_taken(loss: Loss) -> None:
    run = tw.train(problem(loss, torch.zeros(COUNT, 1, dtype=torch.bool)), tw.Recipe(tw.optim.SGD(0.01), 3, 8))
    assert run.diverged_at.tolist() == [-1]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("unknown", [EXAMPLES, POSITIONS], ids=["examples", "positions"])
def test_the_remedy_trains(unknown: Tensor, streamed: bool) -> None:
    run = tw.train(problem(_harmless, unknown, streamed=streamed), tw.Recipe(tw.optim.SGD(0.01), 5, 8))
    assert run.diverged_at.tolist() == [-1]
    assert run.final.theta.isfinite().all()


def test_what_the_mean_promises() -> None:
    """The value is finite whatever it is at weight zero; the gradient is not."""
    outputs = torch.tensor([4.0, 0.0], requires_grad=True)
    mean = weighted_mean(outputs.sqrt(), torch.tensor([1.0, 0.0]), 1)
    (gradient,) = torch.autograd.grad(mean, outputs)
    assert mean.item() == 2.0
    assert gradient[0] == 0.25
    assert gradient[1].isnan()
