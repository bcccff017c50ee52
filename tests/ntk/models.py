"""Models whose parameters are used in every way that the layer-wise method knows, and in some that it does not."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw


class Scaled(nn.Module):
    """Weights times numbers, transposed and multiplied from the right, a bias times a number, one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(6, 5))
        self.third, self.unused = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.ones(2))
        self.bias, self.shift = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(F.linear(x, self.first) * 0.7 + 0.3 * self.bias)
        x = torch.tanh(x @ (self.second / 2) + self.shift)
        return F.linear(x, 0.5 * self.third)


class Tied(nn.Module):
    """One weight in two layers, with a bias that is used twice; another used turned and straight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.square = nn.Linear(4, 4), nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.layer(torch.tanh(self.layer(x))))
        return F.linear(x, self.square) + torch.tanh(x @ self.square)


class Convolutions(nn.Module):
    """Strides, dilations, groups, modes of padding, three dimensions of space, and a kernel that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Conv1d(1, 3, 4, padding="same")
        self.circle = nn.Conv1d(3, 4, 3, stride=2, padding=2, padding_mode="circular")
        self.plane = nn.Conv2d(4, 4, (2, 3), stride=(1, 2), padding=1, dilation=(2, 1))
        self.groups = nn.Conv2d(4, 4, 2, groups=2)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.space = nn.Conv3d(2, 3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.circle(torch.tanh(self.line(x.unsqueeze(1)))))
        x = torch.tanh(self.plane(x.unflatten(-1, (3, 3))))
        x = torch.tanh(self.twice(torch.tanh(self.twice(self.groups(x)))))
        x = F.interpolate(x, size=(4, 4)).view(-1, 2, 2, 4, 4)
        return self.space(x).mean((-1, -2, -3))


class Lookups(nn.Module):
    """Tokens with padding, two embeddings of one weight, and a weight that is embedding and output at once."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 4, padding_idx=0)
        self.both = nn.Embedding(5, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) * self.tokens(tokens.flip(-1)) + self.both(tokens)
        return F.linear(torch.tanh(x).mean(-2), self.both.weight)


class Attentive(nn.Module):
    """Torch's own attention, over two inputs, with a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.frozen = nn.LayerNorm(4), nn.Linear(4, 4).requires_grad_(False)
        self.output = nn.Linear(4, 3)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        found, _ = self.attention(query, key, key)
        return self.output(self.frozen(self.norm(found + query)).mean(1))


class Blocked(nn.Module):
    """An operation in a block of its own, which no program has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        with torch.no_grad():
            size = x.norm(dim=-1, keepdim=True)
        return x / (1 + size)


def inputs(*shape: int) -> Tensor:
    """Normal numbers, always the same."""
    return torch.randn(8, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def tokens(vocabulary: int, length: int) -> Tensor:
    """Random tokens, always the same."""
    return torch.randint(vocabulary, (8, length), generator=torch.Generator().manual_seed(0))


_CLASSES = torch.arange(8) % 3
CASES: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "perceptron": (lambda: tw.nets.mlp(4, 5, 6, 3), (inputs(4), _CLASSES)),
    "one output": (lambda: tw.nets.mlp(4, 5, 1), (inputs(4), inputs(1))),
    "100 outputs": (lambda: tw.nets.mlp(4, 5, 100), (inputs(4), _CLASSES)),
    "convnet": (lambda: tw.nets.convnet((3, 4), 3, (1, 4, 4), activation="tanh"), (inputs(1, 4, 4), _CLASSES)),
    "resnet": (lambda: tw.nets.resnet(4, 1, 3, (1, 4, 4)), (inputs(1, 4, 4), _CLASSES)),
    "group norm": (lambda: tw.nets.resnet(8, 1, 3, (1, 4, 4), norm="group"), (inputs(1, 4, 4), _CLASSES)),
    "transformer": (lambda: tw.nets.transformer(5, 4, 8, 2, 1), (tokens(5, 4), tokens(5, 4).roll(-1, 1))),
    "tied transformer": (
        lambda: tw.nets.transformer(5, 4, 8, 2, 1, tied=True),
        (tokens(5, 4), tokens(5, 4).roll(-1, 1)),
    ),
    "scaled": (Scaled, (inputs(4), _CLASSES)),
    "tied": (Tied, (inputs(4), _CLASSES)),
    "convolutions": (Convolutions, (inputs(16), _CLASSES)),
    "lookups": (Lookups, (tokens(5, 3), _CLASSES)),
    "attention": (Attentive, ((inputs(2, 4), inputs(3, 4)), _CLASSES)),
    "blocked": (Blocked, (inputs(4), _CLASSES)),
}


def problem_of(name: str) -> tw.Problem:
    """In float64, so that what is equal is equal to 1e-10."""
    model, data = CASES[name]
    loss = "squared_error" if name == "one output" else "cross_entropy"
    return tw.Problem(model, data, loss, dtype=torch.float64)


def population_of(problem: tw.Problem, members: int = 2) -> tw.Population:
    """Members whose running statistics are none of those that layers start with."""
    population = problem.initialize(members)
    for name, buffer in population.running.items():
        if buffer.is_floating_point():
            noise = torch.rand(buffer.shape, generator=torch.Generator().manual_seed(len(name)), dtype=buffer.dtype)
            buffer.copy_(noise + 0.5)
    return population
