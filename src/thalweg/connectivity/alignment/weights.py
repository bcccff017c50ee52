"""How similar units are in all that belongs to them: weights that write and read them, biases, scales."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg.connectivity.alignment.assignment import Orders
from thalweg.connectivity.alignment.nests import Nest
from thalweg.population import Population, Slice, UnitGroup
from thalweg.population.permuting import change, moved

Rows = Int64[Tensor, " rows"]  # numbers of members
Kept = list[tuple[Tensor, Rows, Tensor]]  # a tensor, some members, their numbers in it


def compared(population: Population) -> dict[str, Tensor]:
    """The tensors (members, ...) that are compared: all parameters, frozen ones too, but no running statistics."""
    frozen = {name: one for name, one in population.buffers.items() if name not in population.running}
    return {**frozen, **population.layout.views(population.theta)}


class Weights:
    """The members' tensors, their units in the order found so far, beside those of the reference.

        similarity of units i and j = sum over all slices of a_i . b_j

    Of a tensor in which no other group has indices, products are taken once; of others when they are asked for, with
    the other groups permuted as they are then. Only these tensors are permuted in between.

    Args:
        nests: all groups.
        reference: tensors (members or 1, ...) by name.
        members: tensors (members, ...) by name; they are copied.
    """

    def __init__(self, nests: Sequence[Nest], reference: Mapping[str, Tensor], members: Mapping[str, Tensor]) -> None:
        self.nests, self.reference = nests, reference
        self.nests_in: dict[str, list[int]] = {}
        for number, nest in enumerate(nests):
            for name in dict.fromkeys(one.tensor for group in nest for one in group.slices if one.tensor in members):
                self.nests_in.setdefault(name, []).append(number)
        slices = Counter(one.tensor for nest in nests for group in nest for one in group.slices)
        self.settled = {name for name, of in self.nests_in.items() if slices[name] == 1 and not nests[of[0]].inner}
        self.tensors = {name: members[name].clone() for name in self.nests_in if name not in self.settled}
        self.given = {name: members[name] for name in self.settled}
        self.count = len(next(iter(members.values())))
        self.device = next(iter(members.values())).device
        self.numbers = {nest.group.name: number for number, nest in enumerate(nests)}
        self.fixed: dict[int, Tensor] = {}
        self.traced = {group.name: _traced(group, members) for nest in nests for group in nest}
        self.places = {
            _along(one): torch.arange(members[one.tensor].shape[1 + one.dim]).repeat(self.count, 1)
            for one in self.traced.values()
        }

    def neighbors(self, number: int) -> set[int]:
        """The nests that have indices in a tensor in which this one has, too."""
        return {other for of in self.nests_in.values() if number in of for other in of} - {number}

    def between(
        self, some: Sequence[Nest], others: Sequence[Nest], rows: Rows, within: Collection[str] | None = None
    ) -> Tensor:
        """How similar units of groups are: (rows, units of the reference, units of a member), group behind group.

        Args:
            some, others: a nest, or all of one kind that lie in the units of a group; others take their places.
            rows: which members.
            within: names of tensors that are taken, beside those in which no other group is; None: all.
        """
        units = sum(nest.group.units for nest in some)
        found = torch.zeros(len(rows), units, units, dtype=torch.float64, device=self.device)
        for ours, theirs in zip(_joined(some), _joined(others), strict=True):
            name = ours[0].tensor
            if name in self.tensors and (within is None or name in within):
                reference, tensor = self.reference[name], _some(self.tensors[name], rows)
                reference = reference if len(reference) == 1 else _some(reference, rows)
                found += torch.matmul(_all_lines(reference, ours), _all_lines(tensor, theirs).mT)
        number = self.numbers.get(some[0].group.name)
        return found if number is None or some[0].inner else found + self._fixed(number, rows)

    def value(self, number: int, rows: Rows) -> NDArray[np.float64]:
        """The sum of products over all tensors in which a nest has indices: (rows,)."""
        found = torch.zeros(len(rows), dtype=torch.float64, device=self.device)
        for name, of in self.nests_in.items():
            if number in of and name in self.tensors:
                whole = self.reference[name] if len(self.reference[name]) == 1 else _some(self.reference[name], rows)
                found += (whole * _some(self.tensors[name], rows)).double().flatten(1).sum(1)
        if not self.nests[number].inner:
            found += self._fixed(number, rows).diagonal(dim1=1, dim2=2).sum(1)
        return found.cpu().numpy()

    def total(self) -> NDArray[np.float64]:
        """The sum of products over all tensors: (members,)."""
        found = torch.zeros(self.count, dtype=torch.float64, device=self.device)
        for name, tensor in self.tensors.items():
            found += (self.reference[name] * tensor).double().flatten(1).sum(1)
        for number, nest in enumerate(self.nests):
            if not nest.inner:
                found += self._fixed(number, torch.arange(self.count)).diagonal(dim1=1, dim2=2).sum(1)
        return found.cpu().numpy()

    def kept(self, number: int, rows: Rows) -> Kept:
        """What a permutation of a nest changes of some members, to be put back."""
        tensors = [self.tensors[name] for name, of in self.nests_in.items() if number in of and name in self.tensors]
        return [(one, rows, one[rows]) for one in (*tensors, *self.places.values())]

    @staticmethod
    def put_back(kept: Kept, which: Bool[Tensor, " rows"]) -> None:
        """Undo what was done since to those of the rows."""
        for tensor, rows, values in kept:
            tensor[rows[which]] = values[which.to(values.device)]

    def move(self, orders: Orders, rows: Rows) -> None:
        """Put the units of some members into another order, outer groups first."""
        for group, order in orders:
            there = torch.from_numpy(order)
            for one in group.slices:
                if one.tensor in self.tensors:
                    some = self.tensors[one.tensor][rows]
                    change(some, one, partial(moved, one=one, order=there.to(self.device)))
                    self.tensors[one.tensor][rows] = some
                places = self.places.get(_along(one))
                if places is not None:
                    places[rows] = moved(places[rows], replace(one, dim=0), there)

    def orders(self) -> dict[str, Int64[Tensor, "members units"]]:
        """The permutation of every group so far; those of outer groups are to be applied before those within them."""
        return {group.name: self._order(group, kin) for nest in self.nests for kin in nest.kin() for group in kin}

    def _order(self, group: UnitGroup, kin: Sequence[UnitGroup]) -> Int64[Tensor, "members units"]:
        """Which unit, of a group or of one that it may be exchanged for, each unit was."""
        one = self.traced[group.name]
        places = self.places[_along(one)]
        unit_of = torch.full((places.shape[1],), -1)
        for other in kin:
            for theirs in other.slices:
                if _along(theirs) == _along(one):
                    unit_of[theirs.positions] = torch.arange(other.units)[:, None].expand_as(theirs.positions)
        return unit_of[places[:, one.positions[:, 0]]]

    def _fixed(self, number: int, rows: Rows) -> Tensor:
        """Products over tensors that no other group is in, taken once, with the units in the order found so far."""
        nest = self.nests[number]
        if number not in self.fixed:
            found = torch.zeros(self.count, nest.group.units, nest.group.units, dtype=torch.float64, device=self.device)
            for one in nest.own:
                if one.tensor in self.settled:
                    ours = lines_of(self.reference[one.tensor], one)
                    found += torch.matmul(ours, lines_of(self.given[one.tensor], one).mT)
            self.fixed[number] = found
        some = _some(self.fixed[number], rows)
        order = self._order(nest.group, [nest.group])[rows].to(self.device)
        return some.gather(2, order[:, None, :].expand_as(some))


def _joined(nests: Sequence[Nest]) -> list[list[Slice]]:
    """The slices of groups, those along one dimension of a tensor as one where they are in all rows."""
    joined = []
    for together in zip(*(nest.own for nest in nests), strict=True):
        if all(one.rows is None for one in together):
            joined.append([replace(together[0], positions=torch.cat([one.positions for one in together]))])
        else:
            joined.append(list(together))
    return joined


def _some(tensor: Tensor, rows: Rows) -> Tensor:
    return tensor if len(rows) == len(tensor) else tensor[rows.to(tensor.device)]


def lines_of(tensor: Tensor, one: Slice) -> Tensor:
    """All numbers of each unit in a slice of a tensor (members, ...): (members, units, numbers)."""
    if one.rows is not None:
        tensor = tensor[:, one.rows.to(tensor.device)]
    tensor = tensor.movedim(1 + one.dim, 1)
    tensor = tensor.flatten(2) if tensor.ndim > 2 else tensor.unsqueeze(2)
    units, width = one.positions.shape
    if width == 1 and units == tensor.shape[1] and bool((one.positions[:, 0] == torch.arange(units)).all()):
        return tensor
    lines = tensor[:, one.positions.flatten().to(tensor.device)]
    return lines.reshape(len(tensor), units, width * tensor.shape[2])


def _along(one: Slice) -> tuple[str, int, tuple[int, ...] | None]:
    return one.tensor, one.dim, None if one.rows is None else tuple(one.rows.tolist())


def _all_lines(tensor: Tensor, slices: Sequence[Slice]) -> Tensor:
    """The same in several slices, one behind the other."""
    lines = [lines_of(tensor, one) for one in slices]
    return lines[0] if len(lines) == 1 else torch.cat(lines, 1)


def _traced(group: UnitGroup, members: Mapping[str, Tensor]) -> Slice:
    """Where it is noted which units a group's were."""
    known = [one for one in group.slices if one.tensor in members]
    return next((one for one in known if one.rows is None), known[0])
