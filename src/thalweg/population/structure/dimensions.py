"""Dimensions of one tensor: axes that may depend on the index along another dimension, as the sizes of heads do."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import Any, cast

from thalweg.population.structure.axes import (
    Axis,
    cut,
    find,
    fix,
    fixed,
    in_blocks,
    in_parts,
    leaves,
    same,
    split,
    unify,
)


@dataclass(frozen=True)
class Family:
    """A dimension that is another axis for every index along the dimension `over`; all of one size."""

    over: Hashable
    members: tuple["Dimension", ...]


Dimension = Axis | Family
Dimensions = tuple[Dimension, ...]


def size(dimension: Dimension) -> int:
    """How many indices it has."""
    return size(dimension.members[0]) if isinstance(dimension, Family) else dimension.size


def axes(dimension: Dimension) -> Iterable[Axis]:
    """All axes that it may be."""
    if isinstance(dimension, Family):
        return (axis for member in dimension.members for axis in axes(member))
    return (dimension,)


def free_axes(dimensions: Iterable[Dimension]) -> set[Axis]:
    """The free axes in some dimensions."""
    return {leaf for dimension in dimensions for axis in axes(dimension) for leaf in leaves(axis)}


def fix_all(dimensions: Iterable[Dimension], reason: str) -> None:
    """Tell all their indices apart."""
    for dimension in dimensions:
        for axis in axes(dimension):
            fix(axis, reason)


def family(over: Hashable, members: Sequence[Dimension]) -> Dimension:
    """A dimension that depends on another, or not where all members are the same."""
    first = members[0]
    if len({size(member) for member in members}) > 1:
        msg = f"A dimension has one size; got members of {[size(member) for member in members]} indices."
        raise ValueError(msg)
    if all(_same(first, member) for member in members):
        return first
    return Family(over, tuple(members))


def _same(one: Dimension, other: Dimension) -> bool:
    if isinstance(one, Axis) and isinstance(other, Axis):
        return same(one, other)
    if isinstance(one, Axis) or isinstance(other, Axis) or one.over != other.over:
        return False
    return all(map(_same, one.members, other.members))


def at(dimension: Dimension, over: Hashable, index: int) -> Dimension:
    """What it is at an index along another dimension."""
    if isinstance(dimension, Axis):
        return dimension
    if dimension.over == over:
        return dimension.members[index]
    return family(dimension.over, [at(member, over, index) for member in dimension.members])


def depends(dimension: Dimension, over: Hashable) -> bool:
    """Whether it depends on that other dimension."""
    return isinstance(dimension, Family) and (
        dimension.over == over or any(depends(member, over) for member in dimension.members)
    )


def equal(one: Dimension, other: Dimension, reason: str) -> None:
    """Make two dimensions of the same indices equal, whatever they depend on."""
    if isinstance(one, Axis) and isinstance(other, Axis):
        unify(one, other, reason)
    elif isinstance(one, Family):
        _count(one.over, one, other)
        for index, member in enumerate(one.members):
            equal(member, at(other, one.over, index), reason)
    else:
        equal(other, one, reason)


def merged(dimension: Dimension, over: Hashable, reason: str) -> Dimension:
    """The dimension made independent of another, which is summed over or told nothing of."""
    if isinstance(dimension, Axis):
        return dimension
    members = [merged(member, over, reason) for member in dimension.members]
    if dimension.over != over:
        return family(dimension.over, members)
    for member in members[1:]:
        equal(members[0], member, reason)
    return members[0]


def renamed(dimension: Dimension, names: Mapping[Any, Hashable], reason: str) -> Dimension:
    """The dimension with other names of what it depends on, independent of what has none."""
    if isinstance(dimension, Axis):
        return dimension
    if dimension.over not in names:
        return renamed(merged(dimension, dimension.over, reason), names, reason)
    return family(names[dimension.over], [renamed(member, names, reason) for member in dimension.members])


def each(function: Callable[..., Axis], *dimensions: Dimension) -> Dimension:
    """A function of axes, of all that the dimensions may be."""
    for dimension in dimensions:
        if isinstance(dimension, Family):
            over = dimension.over
            count = _count(over, *dimensions)
            return family(over, [each(function, *(at(d, over, i) for d in dimensions)) for i in range(count)])
    return function(*dimensions)


def _count(over: Hashable, *dimensions: Dimension) -> int:
    """How many indices that other dimension has, by all that depend on it."""
    counts = set().union(*(_counts(dimension, over) for dimension in dimensions))
    if len(counts) != 1:
        msg = f"What depends on a dimension has a member for each of its indices; got {sorted(counts)} members."
        raise ValueError(msg)
    return counts.pop()


def _counts(dimension: Dimension, over: Hashable) -> set[int]:
    if isinstance(dimension, Axis):
        return set()
    inner = set().union(*(_counts(member, over) for member in dimension.members))
    return inner | {len(dimension.members)} if dimension.over == over else inner


def check(dimensions: Dimensions) -> None:
    """Whatever depends on another dimension of a tensor has one member for each of its indices.

    Raises:
        ValueError: it has not, or depends on itself or on a dimension that there is not.
    """
    for place, dimension in enumerate(dimensions):
        parts = [dimension]
        while parts:
            part = parts.pop()
            if isinstance(part, Axis):
                continue
            over = part.over
            there = isinstance(over, int) and over != place and 0 <= over < len(dimensions)
            if not there or len(part.members) != size(dimensions[cast("int", over)]):
                msg = f"Dimension {place} has {len(part.members)} members over {over!r}, of {len(dimensions)}."
                raise ValueError(msg)
            parts += part.members


def moved(dimensions: Dimensions, order: Sequence[int], reason: str) -> Dimensions:
    """The dimensions in another order; those left out are summed over or have one index."""
    names = {old: new for new, old in enumerate(order)}
    return tuple(renamed(dimensions[old], names, reason) for old in order)


def inserted(dimensions: Dimensions, place: int, new: Dimension) -> Dimensions:
    """One more dimension, before the one at that place."""
    names = {old: old + (old >= place) for old in range(len(dimensions))}
    kept = [renamed(dimension, names, "") for dimension in dimensions]
    return (*kept[:place], new, *kept[place:])


def selected(dimensions: Dimensions, place: int, index: int, reason: str) -> Dimensions:
    """All at one index along a dimension, which is then gone."""
    for axis in axes(dimensions[place]):
        cut(axis, (index,), reason)
    kept = tuple(at(dimension, place, index) for dimension in dimensions)
    return moved(kept, [old for old in range(len(dimensions)) if old != place], reason)


def reshaped(dimensions: Dimensions, shape: Sequence[int], reason: str) -> Dimensions:
    """The dimensions of the same numbers, in their order, in another shape."""
    place, new = 0, 0
    while place < len(dimensions) or new < len(shape):
        if place < len(dimensions) and size(dimensions[place]) == 1 and (new == len(shape) or shape[new] != 1):
            dimensions = moved(dimensions, [old for old in range(len(dimensions)) if old != place], reason)
            continue
        if new < len(shape) and shape[new] == 1 and (place == len(dimensions) or size(dimensions[place]) != 1):
            dimensions = inserted(dimensions, place, Axis(1))
        elif size(dimensions[place]) > shape[new] and size(dimensions[place]) % shape[new] == 0:
            dimensions = split_at(dimensions, place, shape[new], reason)
        elif size(dimensions[place]) != shape[new]:
            dimensions = joined(dimensions, place, reason)
            continue
        place, new = place + 1, new + 1
    return dimensions


def joined(dimensions: Dimensions, place: int, reason: str) -> Dimensions:
    """A dimension and the one behind it as one."""
    outer, inner = merged(dimensions[place], place + 1, reason), dimensions[place + 1]
    count, length = size(outer), size(inner)
    one = each(_blocks, outer, *(at(inner, place, index) for index in range(count)))
    names = {old: old - (old > place) for old in range(len(dimensions)) if old != place + 1}

    def joint(dimension: Dimension) -> Dimension:
        if depends(dimension, place) or depends(dimension, place + 1):
            members = [at(at(dimension, place, i), place + 1, j) for i in range(count) for j in range(length)]
            dimension = family(place, members)
        return renamed(dimension, names, reason)

    kept = [joint(dimension) for old, dimension in enumerate(dimensions) if old not in (place, place + 1)]
    return (*kept[:place], renamed(one, names, reason), *kept[place:])


def _blocks(index: Axis, *children: Axis) -> Axis:
    """Blocks that may be exchanged as `index` says."""
    return in_blocks(index, children)


def split_at(dimensions: Dimensions, place: int, count: int, reason: str) -> Dimensions:
    """A dimension as two, the first of that many indices."""
    length = size(dimensions[place]) // count
    names = {old: old + (old > place) for old in range(len(dimensions))}

    def apart(dimension: Dimension) -> Dimension:
        if depends(dimension, place):
            rows = [[at(dimension, place, i * length + j) for j in range(length)] for i in range(count)]
            inner = [renamed(family(("inner",), row), {**names, ("inner",): place + 1}, reason) for row in rows]
            return family(place, inner)
        return renamed(dimension, names, reason)

    whole = renamed(dimensions[place], names, reason)
    halves: dict[Axis, tuple[Axis, tuple[Axis, ...]]] = {}

    def half(axis: Axis) -> tuple[Axis, tuple[Axis, ...]]:
        return halves.setdefault(find(axis), split(axis, count, reason))

    outer = each(lambda axis: half(axis)[0], whole)
    inner = family(place, [each(lambda axis, i=i: half(axis)[1][i], whole) for i in range(count)])
    kept = [apart(dimension) for old, dimension in enumerate(dimensions) if old != place]
    return (*kept[:place], outer, inner, *kept[place:])


def narrowed(dimensions: Dimensions, place: int, indices: tuple[int, ...], reason: str) -> Dimensions:
    """All at some indices along a dimension."""

    def some(dimension: Dimension) -> Dimension:
        if not depends(dimension, place):
            return dimension
        return family(place, [at(dimension, place, index) for index in indices])

    return tuple(
        each(lambda axis: cut(axis, indices, reason), dimension) if old == place else some(dimension)
        for old, dimension in enumerate(dimensions)
    )


def behind(factors: Sequence[Dimension]) -> Dimension:
    """Dimensions one behind the other, as parts of one."""
    stops = list(accumulate(map(size, factors)))
    ranges = [tuple(range(stop - size(factor), stop)) for factor, stop in zip(factors, stops, strict=True)]
    return each(lambda *axes: in_parts(list(zip(ranges, axes, strict=True))), *factors)


def all_fixed(shape: Iterable[int], reason: str) -> Dimensions:
    """Dimensions of which no index may be exchanged."""
    return tuple(fixed(count, reason) for count in shape)


def all_free(shape: Iterable[int]) -> Dimensions:
    """Dimensions of which nothing is known yet."""
    return tuple(map(Axis, shape))


def without(dimensions: Dimensions, summed: Iterable[int], reason: str) -> Dimensions:
    """The dimensions, of which those that remain do not depend on those that are summed over."""
    gone = set(summed)
    return tuple(
        dimension if place in gone else reduce(lambda d, over: merged(d, over, reason), gone, dimension)
        for place, dimension in enumerate(dimensions)
    )


def independent(dimensions: Dimensions, changed: Iterable[int], reason: str) -> Dimensions:
    """The dimensions, none of which depends on those of which the size is to change, nor these on each other."""
    gone = set(changed)
    return tuple(reduce(lambda d, over: merged(d, over, reason), gone, dimension) for dimension in dimensions)
