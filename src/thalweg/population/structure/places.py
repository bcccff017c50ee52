"""Where units lie in the values of a traced model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.population.structure.axes import Axis, walk
from thalweg.population.structure.dimensions import Dimension, Dimensions

At = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Place:
    """Which indices along one dimension of a value belong to each unit of a group.

    Args:
        group: its name.
        dim: of the value.
        positions: (units, width): indices along `dim`; see `Slice`.
        at: indices along other dimensions to which it is confined, as the sizes of one head are: (dimension, index).
    """

    group: str
    dim: int
    positions: Int64[Tensor, "units width"]
    at: At = ()

    def seen(self, value: Tensor) -> Tensor:
        """The numbers of every unit in a value: (units, everything else)."""
        for dim, index in self.at:
            value = value.narrow(dim, index, 1)
        units, width = self.positions.shape
        lines = value.movedim(self.dim, 0).reshape(value.shape[self.dim], -1)
        return lines[self.positions.flatten().to(value.device)].reshape(units, width * lines.shape[1])


def places_of(dimensions: Dimensions, names: Mapping[Axis, str]) -> tuple[Place, ...]:
    """Where units lie in a value of these dimensions.

    Args:
        dimensions: of one tensor, after the whole trace was followed.
        names: of the groups, by axis.
    """
    found = []
    for dim, dimension in enumerate(dimensions):
        for at, axis in _confined(dimension, ()):
            parts: dict[str, list[list[int]]] = {}
            for leaf, places, _ in walk(axis, [(index,) for index in range(axis.size)]):
                if leaf in names:
                    units = parts.setdefault(names[leaf], [[] for _ in places])
                    for unit, place in zip(units, places, strict=True):
                        unit.extend(place)
            found += [Place(name, dim, torch.tensor(units), at) for name, units in parts.items()]
    return tuple(found)


def _confined(dimension: Dimension, at: At) -> Iterator[tuple[At, Axis]]:
    """The axes that a dimension is, and at which indices of other dimensions."""
    if isinstance(dimension, Axis):
        yield at, dimension
        return
    if not isinstance(dimension.over, int):
        return
    for index, member in enumerate(dimension.members):
        yield from _confined(member, (*at, (dimension.over, index)))
