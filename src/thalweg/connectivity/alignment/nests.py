"""Groups of units within the units of other groups: dimensions within heads, channels within blocks of channels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from thalweg.population import Slice, UnitGroup

Signature = tuple[tuple[str, int, tuple[tuple[int, ...], ...], tuple[int, ...]], ...]
Parts = Mapping[str, Sequence[tuple[int, UnitGroup]]]  # by a group's name: the groups within it, with the unit of each


@dataclass(frozen=True, eq=False)
class Nest:
    """A group, and the groups that lie within its units.

    Which head is which can be told only by what is in them, in whatever order; so all of them are matched together.

    Args:
        group: whose units may be exchanged.
        inner: the nests within its units: by kind (queries and keys, values), one for each unit.
        own: what of the group's slices lies in none of these.
    """

    group: UnitGroup
    inner: tuple[tuple["Nest", ...], ...]
    own: tuple[Slice, ...]

    def __iter__(self) -> Iterator[UnitGroup]:
        """Every group in it, outer ones before those that lie in them: the order in which permutations are applied."""
        yield self.group
        for kind in self.inner:
            for nest in kind:
                yield from nest

    def kin(self) -> Iterator[list[UnitGroup]]:
        """Groups that take each other's place when units of an outer one are exchanged, together."""
        yield [self.group]
        for kind in self.inner:
            for together in zip(*(nest.kin() for nest in kind), strict=True):
                yield [group for some in together for group in some]


def nests_of(groups: Sequence[UnitGroup]) -> tuple[Nest, ...]:
    """The groups that lie in no other, each with those that lie in it."""
    parts: dict[str, list[tuple[int, UnitGroup]]] = {}
    inside: set[str] = set()
    for group in groups:
        holders = [
            (found, number)
            for number, holder in enumerate(groups)
            if holder is not group and (found := _unit(group, holder)) is not None
        ]
        if holders:
            (_, unit), number = min(holders)
            parts.setdefault(groups[number].name, []).append((unit, group))
            inside.add(group.name)
    loose: list[Nest] = []
    outer = [_nest(group, parts, loose) for group in groups if group.name not in inside]
    return (*outer, *loose)


def _nest(group: UnitGroup, parts: Parts, loose: list[Nest]) -> Nest:
    """A group with what lies in it; where its units cannot be compared part by part, these are `loose`."""
    within = parts.get(group.name, ())
    by_unit: list[list[tuple[Signature, UnitGroup]]] = [[] for _ in range(group.units)]
    for unit, part in within:
        by_unit[unit].append(_signed(part, group, unit))
    for of in by_unit:
        of.sort(key=lambda pair: pair[0])
    kinds = [signature for signature, _ in by_unit[0]]
    if not within or any([signature for signature, _ in of] != kinds for of in by_unit):
        loose += [_nest(part, parts, loose) for _, part in within]
        return Nest(group, (), group.slices)
    inner = tuple(tuple(_nest(of[number][1], parts, loose) for of in by_unit) for number in range(len(kinds)))
    return Nest(group, inner, _uncovered(group, kinds))


def _unit(group: UnitGroup, holder: UnitGroup) -> tuple[int, int] | None:
    """How many indices a unit of the holder has where a group lies in one, and which; None where it lies in none."""
    found = set()
    for one in group.slices:
        other = _beside(holder, one)
        if other is not None and one.rows is None:
            unit_of = {place: unit for unit, places in enumerate(other.positions.tolist()) for place in places}
            units = {unit_of.get(place) for place in one.positions.flatten().tolist()}
            found |= {(other.positions.shape[1], unit) for unit in units}
    widths = [width for width, _ in found]
    units = {unit for _, unit in found}
    (unit,) = units if len(units) == 1 else (None,)
    return None if unit is None else (min(widths), unit)


def _beside(holder: UnitGroup, one: Slice) -> Slice | None:
    """The slice of a group along the same dimension of the same tensor, in all rows."""
    same = (other for other in holder.slices if (other.tensor, other.dim, other.rows) == (one.tensor, one.dim, None))
    return next(same, None)


def _signed(group: UnitGroup, holder: UnitGroup, unit: int) -> tuple[Signature, UnitGroup]:
    """Where a group lies as seen from the unit that it lies in, and the group with its slices in that order."""

    def local(one: Slice, places: Sequence[int]) -> tuple[int, ...]:
        other = _beside(holder, one)
        if other is None:
            return tuple(places)
        offsets = {place: offset for offset, place in enumerate(other.positions[unit].tolist())}
        return tuple(offsets.get(place, -1 - place) for place in places)

    signed = []
    for number, one in enumerate(group.slices):
        places = tuple(local(one, places) if one.rows is None else tuple(places) for places in one.positions.tolist())
        rows = () if one.rows is None else local(replace(one, dim=0, rows=None), one.rows.tolist())
        signed.append(((one.tensor, one.dim, places, rows), number))
    signed.sort()
    slices = tuple(group.slices[number] for _, number in signed)
    return tuple(signature for signature, _ in signed), replace(group, slices=slices)


def _uncovered(group: UnitGroup, kinds: Sequence[Signature]) -> tuple[Slice, ...]:
    """What of the slices of a group lies in none of the groups within its units."""
    left = []
    for one in group.slices:
        covered = {
            offset
            for signature in kinds
            for tensor, dim, places, _ in signature
            if (tensor, dim) == (one.tensor, one.dim)
            for row in places
            for offset in row
        }
        columns = [offset for offset in range(one.positions.shape[1]) if offset not in covered]
        if columns:
            left.append(replace(one, positions=one.positions[:, columns]))
    return tuple(left)
