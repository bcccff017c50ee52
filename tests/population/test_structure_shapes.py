"""Whatever is done to hidden units, alone and one after the other: groups that are found leave the function."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.architectures import randomized
from torch import Tensor, nn

from thalweg.population import Population, Structure
from thalweg.randomness import generator

# what is done to h (batch, 12), with tensors of a model m
DONE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "swapmerge": lambda m, h: h.view(-1, 3, 4).transpose(1, 2).flatten(1),
    "shuffle": lambda m, h: h.view(-1, 4, 3).transpose(1, 2).reshape(-1, 12),
    "softheads": lambda m, h: h.view(-1, 3, 4).softmax(1).flatten(1),
    "softin": lambda m, h: h.view(-1, 3, 4).softmax(2).flatten(1),
    "sumheads": lambda m, h: h.view(-1, 3, 4).sum(1, keepdim=True).expand(-1, 3, 4).flatten(1) + h,
    "sumin": lambda m, h: (h.view(-1, 3, 4) - h.view(-1, 3, 4).mean(2, keepdim=True)).flatten(1),
    "gram": lambda m, h: (h.view(-1, 3, 4) @ h.view(-1, 3, 4).transpose(1, 2) @ h.view(-1, 3, 4)).flatten(1),
    "gram2": lambda m, h: (h.view(-1, 3, 4).transpose(1, 2) @ h.view(-1, 3, 4)).flatten(1)[:, :12],
    "outer": lambda m, h: (h[:, :, None] * h[:, None, :]).flatten(1) @ m.big,
    "outer2": lambda m, h: (h[:, :, None] * m.l(h)[:, None, :]).flatten(1) @ m.big,
    "roll": lambda m, h: h.roll(1, 1) + h,
    "rollheads": lambda m, h: h.view(-1, 3, 4).roll(1, 1).flatten(1) + h,
    "half": lambda m, h: torch.cat([h[:, 6:], h[:, :6]], 1),
    "halfadd": lambda m, h: torch.cat([h[:, 6:], h[:, :6]], 1) + h,
    "even": lambda m, h: torch.stack([h[:, ::2], h[:, 1::2].tanh()], -1).flatten(1),
    "even2": lambda m, h: torch.stack([h[:, ::2] + h[:, 1::2], h[:, 1::2].tanh()], 1).flatten(1),
    "perhead": lambda m, h: m.s(h.view(-1, 3, 4)).flatten(1),
    "perhead2": lambda m, h: m.t(h.view(-1, 3, 4).transpose(1, 2)).transpose(1, 2).flatten(1),
    "ein": lambda m, h: torch.einsum("bhd,hde->bhe", h.view(-1, 3, 4), m.hde).flatten(1),
    "talk": lambda m, h: torch.einsum("bhd,hg->bgd", h.view(-1, 3, 4), m.hg).flatten(1),
    "view62": lambda m, h: h.view(-1, 6, 2).sum(2).repeat(1, 2),
    "view43+34": lambda m, h: h.view(-1, 4, 3).tanh().flatten(1) + h.view(-1, 3, 4).softmax(2).flatten(1),
    "gn+split": lambda m, h: (
        F.group_norm(h, 3) + torch.cat([c.cumsum(1) if i == 0 else c for i, c in enumerate(h.chunk(2, 1))], 1)
    ),
    "conv": lambda m, h: m.c(h.view(-1, 3, 4)).flatten(1),
    "convg": lambda m, h: m.cg(h.view(-1, 12, 1)).flatten(1),
    "interleave": lambda m, h: h.repeat_interleave(2, 1).view(-1, 2, 12).sum(1),
    "interleave2": lambda m, h: h.repeat_interleave(2, 1).view(-1, 12, 2).sum(2) * h,
    "tile": lambda m, h: h.repeat(1, 2).view(-1, 12, 2).sum(2),
    "idx": lambda m, h: h[:, torch.tensor([0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11])] + h,
    "flip": lambda m, h: h.flip(1) * h,
    "sort": lambda m, h: h.sort(1)[0],
    "topk": lambda m, h: torch.cat([h.topk(6, 1)[0], h[:, :6]], 1),
    "where": lambda m, h: torch.where(h > h.mean(1, keepdim=True), h, torch.zeros_like(h)),
    "bias3": lambda m, h: (h.view(-1, 3, 4) + m.b4).flatten(1),
    "bias4": lambda m, h: (h.view(-1, 3, 4) + m.b31).flatten(1),
    "bias34": lambda m, h: (h.view(-1, 3, 4) * m.b34).flatten(1),
    "expandfam": lambda m, h: (
        (h.view(-1, 3, 1, 4).expand(-1, 3, 2, 4).reshape(-1, 6, 4) * m.b64).view(-1, 3, 2, 4).sum(2).flatten(1)
    ),
    "famtrans": lambda m, h: (
        h.view(-1, 3, 4)
        .permute(2, 0, 1)
        .reshape(4, -1)
        .t()
        .reshape(-1, 3, 4)
        .transpose(0, 1)
        .reshape(3, -1, 4)
        .transpose(0, 1)
        .flatten(1)
    ),
    "selecthead": lambda m, h: torch.cat([h.view(-1, 3, 4)[:, 0].tanh(), h.view(-1, 3, 4)[:, 1:].flatten(1)], 1),
    "selectin": lambda m, h: torch.cat([h.view(-1, 3, 4)[:, :, 0], h.view(-1, 3, 4)[:, :, 1:].tanh().flatten(1)], 1),
    "stack": lambda m, h: torch.stack([h[:, :4], h[:, 4:8].tanh(), h[:, 8:].relu()], 1).transpose(1, 2).flatten(1),
    "unbindadd": lambda m, h: torch.cat(
        [a + b for a, b in zip(h.view(-1, 3, 4).unbind(1), h.view(-1, 3, 4).flip(1).unbind(1), strict=True)], 1
    ),
    "matmulW": lambda m, h: (m.l.weight @ h.t()).t(),
    "WW": lambda m, h: h @ (m.l.weight @ m.l.weight.t()),
    "WplusWt": lambda m, h: h @ (m.l.weight + m.l.weight.t()),
    "tied": lambda m, h: m.l(m.l(h).tanh()) @ m.l.weight,
    "kron": lambda m, h: torch.kron(h[:1, :3], h[:1, :4]) + h,
    "pad": lambda m, h: F.pad(h[:, 2:-1], (2, 1)) + h,
    "pad2": lambda m, h: F.pad(h[:, :9], (2, 1)),
    "avg1d": lambda m, h: F.avg_pool1d(h[:, None], 3, 1, 1)[:, 0] + h,
    "ln34": lambda m, h: F.layer_norm(h.view(-1, 3, 4), (3, 4), m.b34).flatten(1),
    "ln4": lambda m, h: F.layer_norm(h.view(-1, 3, 4), (4,), m.b4).flatten(1),
    "argmax": lambda m, h: h * h.argmax(1, keepdim=True),
    "maxdim": lambda m, h: h - h.max(1, keepdim=True)[0],
    "amax": lambda m, h: h - h.amax(1, keepdim=True),
    "cos": lambda m, h: F.normalize(h, dim=1),
    "inplace": lambda m, h: m.written_into(h),
    "bmmheads": lambda m, h: torch.bmm(h.view(-1, 3, 4).transpose(0, 1), m.b345).transpose(0, 1).flatten(1)[:, :12],
    "tdot": lambda m, h: torch.tensordot(h.view(-1, 3, 4), m.hde, dims=([1, 2], [0, 1])).repeat(1, 3),
    "unfold": lambda m, h: h.unfold(1, 3, 3).flatten(1),
    "T": lambda m, h: h.T.contiguous().view(3, 4, -1).permute(2, 1, 0).flatten(1),
    "scat": lambda m, h: torch.zeros(4, 12, dtype=h.dtype).scatter(1, torch.arange(12).flip(0).expand(4, 12), h),
    "gath": lambda m, h: h.gather(1, torch.arange(12).flip(0).expand(4, 12)) + h,
    "cdist": lambda m, h: torch.cdist(h.view(-1, 3, 4), h.view(-1, 3, 4)).flatten(1).repeat(1, 2)[:, :12],
    "famstack": lambda m, h: torch.stack(h.view(-1, 3, 4).unbind(1), 2).flatten(1),
    "two": lambda m, h: h.view(-1, 2, 6).softmax(2).flatten(1) * h.view(-1, 3, 4).softmax(2).flatten(1),
    "four": lambda m, h: h.view(-1, 4, 3).softmax(2).flatten(1) * h.view(-1, 2, 6).softmax(2).flatten(1),
    "batchmix": lambda m, h: (
        h.view(4, 3, 4).transpose(0, 1).reshape(12, 4).softmax(1).view(3, 4, 4).transpose(0, 1).flatten(1)
    ),
}


class Model(nn.Module):
    """A layer, what is done to its units, and a layer."""

    def __init__(self, done: Sequence[Callable[[Any, Tensor], Tensor]]) -> None:
        super().__init__()
        self.done = done
        self.first, self.mid, self.out = nn.Linear(5, 12), nn.Linear(12, 12), nn.Linear(12, 2)
        self.l, self.s, self.t = nn.Linear(12, 12), nn.Linear(4, 4), nn.Linear(3, 3)
        self.c, self.cg = nn.Conv1d(3, 3, 3, padding=1), nn.Conv1d(12, 12, 1, groups=3)
        shapes = {"big": (144, 12), "hde": (3, 4, 4), "hg": (3, 3), "b4": (4,), "b31": (3, 1), "b34": (3, 4)}
        for name, shape in {**shapes, "b64": (6, 4), "b345": (3, 4, 5)}.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def written_into(self, h: Tensor) -> Tensor:
        h = h.clone()
        h[:, 2:5] += 1
        h[:, 5:8].mul_(h[:, 8:11])
        return h

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        for place, done in enumerate(self.done):
            h = done(self, h)
            h = F.pad(h, (0, 12 - h.shape[1])) if h.shape[1] < 12 else h[:, :12]
            if place == 1:
                h = h + self.mid(h) / 3
        return self.out(h)


X = torch.randn(4, 5, generator=generator(0, "x"), dtype=torch.float64)


def assert_all_groups_leave_the_function(*names: str) -> Structure:
    module = randomized(Model([DONE[name] for name in names]))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)
        before = module(X)
        structure, population = Structure.of(module, X), Population.of([module])
        for number, group in enumerate(structure.groups):
            order = torch.randperm(group.units, generator=generator(0, "order", number)).roll(1)
            after = structure.permuted(population, group, order).module(0)(X)
            scale = 1e-12 * max(1.0, float(before.abs().max()))
            torch.testing.assert_close(after, before, rtol=0, atol=scale, msg=f"{group.name} after {names}")
    return structure


UNITS = {  # in the order of tensors; where nothing is said, none
    "swapmerge": [3, 4],
    "shuffle": [4, 3],
    "softheads": [3, 4],
    "softin": [3, 4, 4, 4],
    "sumheads": [3, 4],
    "sumin": [3, 4, 4, 4],
    "gram": [3, 4],
    "gram2": [3, 3],
    "outer": [12, 12],
    "outer2": [12, 12, 12],
    "rollheads": [4],
    "half": [6, 6],
    "halfadd": [6],
    "even": [6],
    "even2": [6],
    "perhead": [3, 4, 4],
    "perhead2": [3, 4, 3],
    "ein": [3, 4, 4],
    "talk": [3, 3, 4],
    "view62": [6, 2, 2, 2, 2, 2, 2, 2],
    "gn+split": [2, 4],
    "conv": [3, 3],
    "convg": [3, 4, 4, 4, 4, 4, 4],
    "interleave": [2, 6, 2, 2, 2, 2, 2, 2],
    "interleave2": [12],
    "tile": [6, 2, 2, 2, 2, 2, 2, 2],
    "where": [12],
    "bias3": [4, 3],
    "bias4": [3, 4, 4, 4],
    "bias34": [3, 4],
    "expandfam": [3, 2, 2, 2, 4],
    "famtrans": [3, 4, 4, 4],
    "selecthead": [2, 4, 4, 4],
    "selectin": [3, 3, 3, 3],
    "stack": [4],
    "unbindadd": [4],
    "matmulW": [12, 12],
    "WW": [12, 12],
    "WplusWt": [12],
    "tied": [12],
    "pad": [9, 2],
    "pad2": [9, 3, 2],
    "ln34": [3, 4],
    "ln4": [4, 3],
    "amax": [12],
    "cos": [12],
    "inplace": [3, 3, 3],
    "bmmheads": [4, 2, 3],
    "tdot": [3, 4, 4, 3],
    "T": [3, 4],
    "famstack": [4],
    "four": [2, 2, 2, 3, 3, 3, 3],
    "batchmix": [3, 4, 4, 4],
}
UNKNOWN = {"kron": "kron", "unfold": "unfold", "scat": "scatter", "cdist": "cdist"}
GROUPS = [
    2, 4, 11, 1, 2, 3, 1, 1, 2, 1, 0, 3, 1, 1, 2, 1, 4, 0, 3, 0, 0, 2, 3, 5, 0, 0, 9, 4, 0, 5, 2, 4, 2, 2, 1,
    0, 4, 1, 0, 1, 2, 3, 6, 6, 3, 1, 3, 0, 7, 1, 1, 2, 1, 1, 5, 3, 0, 6, 1, 1,
]  # fmt: skip


@pytest.mark.parametrize("name", DONE)
def test_units_are_as_many_as_operations_allow(name: str) -> None:
    structure = assert_all_groups_leave_the_function(name)
    assert [group.units for group in structure.groups] == UNITS.get(name, [])
    assert [one.kind for one in structure.unknown] == ([UNKNOWN[name]] if name in UNKNOWN else [])


@pytest.mark.parametrize(("number", "groups"), list(enumerate(GROUPS)))
def test_one_after_the_other(number: int, groups: int) -> None:
    names, draw = list(DONE), generator(0, "shapes", number)
    which = torch.randint(len(names), (2 + number % 2,), generator=draw).tolist()
    structure = assert_all_groups_leave_the_function(*(names[index] for index in which))
    assert len(structure.groups) == groups
    known = {UNKNOWN.get(names[index]) for index in which}  # it may read what is in no group already
    assert {one.kind for one in structure.unknown} <= known


def test_products_of_units_with_each_other_are_permuted_twice() -> None:
    structure = assert_all_groups_leave_the_function("outer")
    places = [one.positions for one in structure.groups[0].read if one.tensor == "big"]
    assert [one.tolist() for one in places] == [
        torch.arange(144).view(12, 12).tolist(),
        torch.arange(144).view(12, 12).t().tolist(),
    ]
