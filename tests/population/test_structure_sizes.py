"""Groups of models in which two dimensions change size together; families have a member for every index."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.architectures import randomized
from torch import Tensor, nn

from thalweg.population import Population, Structure
from thalweg.population.structure.axes import Axis
from thalweg.population.structure.dimensions import Family, check, each, equal, family
from thalweg.randomness import generator


class Two(nn.Module):
    """Two layers of units, h and b, what is done with both, and layers that read it."""

    def __init__(self, done: Callable[[Any, Tensor, Tensor], Tensor], first: int, second: int, wide: int) -> None:
        super().__init__()
        self.done, self.first, self.second = done, nn.Linear(5, first), nn.Linear(5, second)
        self.out, self.plain = nn.Linear(wide, 2), nn.Linear(first, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, b = self.first(x).tanh(), self.second(x).tanh()
        return self.out(self.done(self, h, b)).flatten(1).cumsum(1) + self.plain(h)


CASES: dict[str, tuple[Two, list[int]]] = {
    "padded, one row": (
        Two(lambda m, h, b: F.pad(h.view(-1, 3, 4), (1, 0, 1, 0))[:, 1].cumsum(1), 12, 1, 5), [2]
    ),
    "repeated and added": (
        Two(lambda m, h, b: (h.view(-1, 3, 4).repeat(1, 2, 2) + b.view(-1, 6, 8)).sum(1), 12, 48, 8), [3, 4, 2, 2]
    ),
    "padded and multiplied": (
        Two(lambda m, h, b: (F.pad(h.view(-1, 3, 4), (1, 0, 1, 0)) * b.view(-1, 4, 5)).flatten(1), 12, 20, 20), [3, 4]
    ),
    "reflected": (
        Two(lambda m, h, b: F.pad(h.view(-1, 3, 4), (1, 0), mode="reflect").flatten(1), 12, 1, 15), [3]
    ),
    "one dimension padded": (Two(lambda m, h, b: F.pad(h.view(-1, 3, 4), (0, 0, 1, 0)).flatten(1), 12, 1, 16), [3, 4]),
    "one dimension repeated": (
        Two(lambda m, h, b: (h.view(-1, 3, 4).repeat(1, 2, 1) * b.view(-1, 6, 4)).flatten(1), 12, 24, 24), [3, 4, 2]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_two_dimensions_that_change_size_together(name: str) -> None:
    module, units = CASES[name]
    module = randomized(module)
    x = torch.randn(4, 5, generator=generator(0, "x"), dtype=torch.float64)
    structure, population = Structure.of(module, x), Population.of([module])
    assert sorted(group.units for group in structure.groups) == sorted(units)
    assert not structure.unknown
    for number, group in enumerate(structure.groups):
        for order in (
            torch.arange(group.units).roll(1),
            torch.randperm(group.units, generator=generator(0, "order", number)),
        ):
            after = structure.permuted(population, group, order).module(0)(x)
            torch.testing.assert_close(after, module(x), rtol=0, atol=1e-11, msg=f"{group.name}")


def test_a_dimension_has_as_many_members_as_the_other_has_indices() -> None:
    two, three = (Family(0, tuple(Axis(4) for _ in range(count))) for count in (2, 3))
    check((Axis(2), two))
    for wrong in ((Axis(3), two), (two, Axis(2)), (two,), (Axis(2), Family(2, two.members))):
        with pytest.raises(ValueError, match="members over"):
            check(wrong)
    with pytest.raises(ValueError, match="a member for each of its indices; got \\[2, 3\\]"):
        equal(two, three, "")
    with pytest.raises(ValueError, match="a member for each of its indices; got \\[2, 3\\]"):
        each(lambda one, _: one, two, three)
    with pytest.raises(ValueError, match="one size"):
        family(0, [Axis(2), Axis(3)])
