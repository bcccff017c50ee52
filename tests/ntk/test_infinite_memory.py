"""The limit keeps to its byte budget, as torch's own profiler counts what is allocated."""

import pytest
import torch
from modules_of_limits import Written, drawn
from ntk.allocated import peak
from torch import nn

import thalweg as tw
from thalweg.ntk.planning import held_by, numbers_of, threads_of
from thalweg.ntk.running import side

INPUTS = drawn(6, 3, 12, 12)


class Block(nn.Module):
    """A residual block with its norms and activations before its layers."""

    def __init__(self, inside: int, outside: int, activation: nn.Module) -> None:
        super().__init__()
        halves = inside != outside
        self.first = nn.Conv2d(inside, outside, 3, 2 if halves else 1, 1, bias=False)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)])
        self.shortcut = nn.Conv2d(inside, outside, 1, 2, bias=False) if halves else None
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.activation(self.norms[0](x))
        branch = self.second(self.activation(self.norms[1](self.first(h))))
        return branch + (x if self.shortcut is None else self.shortcut(h))


def resnet(activation: nn.Module) -> nn.Module:
    """Of the form of ResNet-18, two blocks a stage, in three stages."""
    stages = [Block(a, b, activation) for a, b in ((32, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128))]
    behind = (nn.BatchNorm2d(128), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 1))
    return nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), *stages, *behind).eval()


NETS = {"relu": nn.ReLU, "gelu": nn.GELU}


@pytest.fixture(autouse=True)
def one_thread():
    """The profiler counts what its own thread allocates."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def used(limit: tw.ntk.Infinite) -> int:
    """Bytes at most, besides both kernels."""
    return peak(lambda: limit.kernels(INPUTS)) - 2 * 8 * len(INPUTS) ** 2


@pytest.mark.parametrize("name", NETS)
def test_the_budget_is_kept_and_made_use_of(name: str) -> None:
    torch.manual_seed(0)
    first = tw.ntk.infinite(resnet(NETS[name]()), parameterization="as_initialized", progress=None)
    program = first.program(INPUTS)
    least = held_by(side(program, INPUTS, torch.float32, 2**30).owns) + 4 * numbers_of(program, pairs=True)
    for budget, share in ((int(1.02 * least), 0.7), (4 * least, 0.1)):
        limit = tw.ntk.infinite(first.module, parameterization="as_initialized", memory_budget=budget, progress=None)
        limit.program(INPUTS)  # traces the module
        assert share * budget <= used(limit) <= 1.1 * budget
    with pytest.raises(tw.UsageError, match="One pair of inputs needs"):
        tw.ntk.infinite(first.module, memory_budget=int(0.9 * least), progress=None).ntk(INPUTS)


def test_a_budget_of_few_pairs_takes_threads_away_and_is_not_refused() -> None:
    torch.manual_seed(0)
    program = tw.ntk.infinite(resnet(nn.ReLU())).program(INPUTS)
    pair = 4 * numbers_of(program, pairs=True)
    assert [threads_of(program, torch.float32, times * pair, 4) for times in (1, 2, 3, 9)] == [1, 2, 3, 4]
    torch.set_num_threads(2)
    module = Written(lambda m, x: m.last(torch.relu(m.first(x)).mean((2, 3))), first=nn.Conv2d(3, 16, 3))
    module.last = nn.Linear(16, 1)
    limit = tw.ntk.infinite(module, progress=None)
    least = held_by(side(limit.program(INPUTS), INPUTS, torch.float32, 2**30).owns)
    least += 4 * numbers_of(limit.program(INPUTS), pairs=True)
    tight = tw.ntk.infinite(module, memory_budget=int(1.5 * least), progress=None)
    torch.testing.assert_close(tight.ntk(INPUTS), limit.ntk(INPUTS), rtol=1e-5, atol=0)
