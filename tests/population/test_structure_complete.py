"""Groups of tiny models against every permutation of every dimension of their tensors, tried out one by one.

The oracle knows no layers. It tries tensors one after the other, those that come later being constant: a permutation
that leaves the function for all parameters leaves it for these too, so that what is dropped on the way is dropped
rightly. At the end all tensors are random, and what is left are all exchanges of indices that leave the function.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.architectures import randomized
from torch import Tensor, nn
from torch.func import functional_call, vmap

from thalweg.population import Population, Structure
from thalweg.randomness import generator

Permutation = tuple[tuple[int, ...], ...]  # of the elements of every tensor
CHUNK = 4096


def _of_dimensions(shape: torch.Size) -> Tensor:
    """All permutations of a tensor's elements that permute each of its dimensions: (count, elements)."""
    places = torch.arange(shape.numel()).view(shape)
    found = [places]
    for dim, length in enumerate(shape):
        orders = torch.tensor(list(itertools.permutations(range(length))))
        found = [one.index_select(dim, order) for one in found for order in orders]
    return torch.stack(found).flatten(1)


def brute_force(module: nn.Module, inputs: Tensor) -> set[Permutation]:
    """Every exchange of indices along dimensions of parameters and buffers that leaves the function."""
    tensors = {name: t.detach() for name, t in (*module.named_parameters(), *module.named_buffers()) if t.numel() > 1}
    order = sorted(tensors, key=lambda name: -tensors[name].ndim)

    def call(values: dict[str, Tensor]) -> Tensor:
        return functional_call(module, values, (inputs,), tie_weights=True)

    left: list[tuple[Tensor, ...]] = [()]
    for stage in range(1, len(order) + 1):
        known, last = order[:stage], order[stage - 1]
        values = {name: t if name in known else torch.full_like(t, 0.6) for name, t in tensors.items()}
        base, next_ones = call(values), _of_dimensions(tensors[last].shape)
        candidates = [(*before, one) for before in left for one in next_ones]
        left = []
        for start in range(0, len(candidates), CHUNK):
            some = candidates[start : start + CHUNK]
            moved = {
                name: values[name].flatten()[torch.stack([one[place] for one in some])].view(-1, *tensors[name].shape)
                for place, name in enumerate(known)
            }
            fixed = {name: value for name, value in values.items() if name not in known}
            outputs = vmap(lambda own, fixed=fixed: call({**own, **fixed}))(moved)
            same = (outputs - base).abs().flatten(1).amax(1) < 1e-9 * base.abs().max()
            left += [one for one, kept in zip(some, same.tolist(), strict=True) if kept]
    return {tuple(tuple(one[order.index(name)].tolist()) for name in tensors) for one in left}


def generated(module: nn.Module, inputs: Tensor) -> set[Permutation]:
    """What exchanges of two units of a group make, one after the other."""
    tensors = {name: t for name, t in (*module.named_parameters(), *module.named_buffers()) if t.numel() > 1}
    structure, population = Structure.of(module, inputs), Population.of([module])
    numbers = [torch.arange(t.numel(), dtype=torch.float64).view(1, *t.shape) for t in tensors.values()]
    numbered = dict(zip(tensors, numbers, strict=True))
    theta = population.layout.pack({entry.name: numbered[entry.name] for entry in population.layout})
    buffers = {name: numbered.get(name, buffer) for name, buffer in population.buffers.items()}
    start = Population(theta, buffers, population.layout, population.template)
    moves = []
    for group in structure.groups:
        for unit in range(1, group.units):
            order = torch.arange(group.units)
            order[[0, unit]] = order[[unit, 0]]
            other = structure.permuted(start, group, order)
            views = {**other.buffers, **other.layout.views(other.theta)}
            moves.append([views[name].flatten().long() for name in tensors])
    found = {tuple(tuple(range(t.numel())) for t in tensors.values())}
    new = list(found)
    while new:
        here = new.pop()
        for move in moves:
            there = tuple(tuple(one[i] for i in way.tolist()) for one, way in zip(here, move, strict=True))
            if there not in found:
                found.add(there)
                new.append(there)
    return found


class Functional(nn.Module):
    """Layers by name, and a function of them and the input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _attend(m: Any, x: Tensor) -> Tensor:
    q, k, v = (one(x).view(len(x), -1, 2, 2).transpose(1, 2) for one in (m.q, m.k, m.v))
    return m.o((torch.softmax(q @ k.transpose(-2, -1), -1) @ v).transpose(1, 2).flatten(2))


def _residual(m: Any, x: Tensor) -> Tensor:
    x = m.first(x)
    return m.out(x + m.down(torch.tanh(m.up(m.norm(x)))))


def _tied(m: Any, tokens: Tensor) -> Tensor:
    return m.mix(m.embed(tokens)).tanh() @ m.embed.weight.t()


VECTORS = torch.randn(3, 2, generator=generator(0, "tiny"), dtype=torch.float64)
SEQUENCES = torch.randn(2, 3, 2, generator=generator(0, "tiny"), dtype=torch.float64)
PIXELS = torch.randn(2, 1, 4, 4, generator=generator(0, "tiny"), dtype=torch.float64)
SIGNALS = torch.randn(2, 1, 3, generator=generator(0, "tiny"), dtype=torch.float64)
TOKENS = torch.tensor([[0, 1, 2], [2, 0, 2]])

# how many exchanges there are is said by hand: the third entry
TINY: dict[str, tuple[Callable[[], nn.Module], Tensor, int]] = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), VECTORS, 6),
    "two layers": (
        lambda: nn.Sequential(nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)), VECTORS, 36,
    ),
    "one layer twice": (
        lambda: Functional(
            lambda m, x: m.out(m.again(m.again(m.first(x).tanh()).tanh()).tanh()),
            first=nn.Linear(2, 3), again=nn.Linear(3, 3), out=nn.Linear(3, 2),
        ), VECTORS, 6,
    ),
    "one unit apart": (
        lambda: Functional(
            lambda m, x: m.out(m.first(x).tanh()) + m.first(x)[:, 1:2], first=nn.Linear(2, 3), out=nn.Linear(3, 2)
        ), VECTORS, 2,
    ),
    "units in order": (
        lambda: Functional(
            lambda m, x: m.out(m.first(x).cumsum(-1).tanh()), first=nn.Linear(2, 3), out=nn.Linear(3, 2)
        ), VECTORS, 1,
    ),
    "residual": (
        lambda: Functional(
            _residual, first=nn.Linear(2, 3), norm=nn.LayerNorm(3), up=nn.Linear(3, 2), down=nn.Linear(2, 3),
            out=nn.Linear(3, 2),
        ), VECTORS, 12,
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)), VECTORS, 6,
    ),
    "group norm": (
        lambda: nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(2, 4), nn.Tanh(), nn.Linear(4, 2)), VECTORS, 8,
    ),
    "heads": (  # without a bias of keys, which softmax does not see, so that its numbers may go anywhere
        lambda: Functional(
            _attend, q=nn.Linear(2, 4), k=nn.Linear(2, 4, bias=False), v=nn.Linear(2, 4), o=nn.Linear(4, 2)
        ), SEQUENCES, 32,
    ),
    "convolutions": (
        lambda: Functional(
            lambda m, x: m.out(m.second(m.first(x).tanh()).tanh().mean((2, 3))),
            first=nn.Conv2d(1, 2, 2), second=nn.Conv2d(2, 3, 2), out=nn.Linear(3, 2),
        ), PIXELS, 12,
    ),
    "flattened": (lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2)), SIGNALS, 2),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv1d(1, 3, 1), nn.Conv1d(3, 3, 2, groups=3), nn.Tanh(), nn.Conv1d(3, 2, 1)),
        SIGNALS, 6,
    ),
    "beside": (
        lambda: Functional(
            lambda m, x: m.out(torch.cat([m.one(x), m.two(x)], -1).tanh()),
            one=nn.Linear(2, 2, bias=False), two=nn.Linear(2, 2, bias=False), out=nn.Linear(4, 2),
        ), VECTORS, 4,
    ),
    "gated": (
        lambda: Functional(lambda m, x: m.out(F.glu(m.both(x), -1)), both=nn.Linear(2, 4), out=nn.Linear(2, 2)),
        VECTORS, 2,
    ),
    "tied embedding": (
        lambda: Functional(_tied, embed=nn.Embedding(3, 3), mix=nn.Linear(3, 3)), TOKENS, 6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_groups_are_all_exchanges_that_leave_the_function(name: str) -> None:
    build, inputs, count = TINY[name]
    module = randomized(build())
    found = generated(module, inputs)
    assert len(found) == count
    assert found == brute_force(module, inputs)


def test_the_oracle_finds_what_is_not_there_to_be_found_by_axes() -> None:
    """Two halves that are multiplied may be exchanged, which takes more than what each operation does to indices."""
    module = randomized(
        Functional(lambda m, x: m.out(m.both(x)[:, :2] * m.both(x)[:, 2:]), both=nn.Linear(2, 4), out=nn.Linear(2, 2))
    )
    assert generated(module, VECTORS) < brute_force(module, VECTORS)
