"""What lies along the dimensions of a traced value: examples, channels, positions; views only regroup them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from thalweg.population.structure.operation import Operation

Path = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Factor:
    """A part of a dimension.

    Args:
        kind: "batch", "channel" or "position".
        size: how many indices it has.
        axis: of a position, which axis of the kernel's blocks it is; of other kinds 0.
        path: of a part of an axis, how the axis was split: (number of parts before, which of the two) a split.
    """

    kind: str
    size: int
    axis: int = 0
    path: Path = ()


Layout = tuple[tuple[Factor, ...], ...]


def batch(size: int) -> Factor:
    """The examples."""
    return Factor("batch", size)


def channel(size: int) -> Factor:
    """Channels, all of one distribution over initializations."""
    return Factor("channel", size)


def position(axis: int, size: int) -> Factor:
    """Indices that differ in what they read of the input."""
    return Factor("position", size, axis)


def of(*factors: Factor) -> Layout:
    """A layout of one factor a dimension; those of one index are left out."""
    return tuple((factor,) if factor.size > 1 else () for factor in factors)


def flat(layout: Layout) -> list[Factor]:
    """All factors in order."""
    return [factor for dimension in layout for factor in dimension]


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The same numbers in the same order in another shape; None where a factor would be cut unevenly."""
    rest = flat(layout)[::-1]
    out: list[tuple[Factor, ...]] = []
    for length in shape:
        found: list[Factor] = []
        missing = length
        while missing > 1:
            if not rest:
                return None
            factor = rest.pop()
            if missing % factor.size == 0:
                found.append(factor)
                missing //= factor.size
            elif factor.size % missing == 0 and factor.kind != "batch":
                outer, inner = split(factor, missing)
                found.append(outer)
                rest.append(inner)
                missing = 1
            else:
                return None
        out.append(tuple(found))
    return None if rest else tuple(out)


def split(factor: Factor, outer: int) -> tuple[Factor, Factor]:
    """A factor as `outer` parts of equal length: which part, and where in it."""
    inner = factor.size // outer
    return (
        Factor(factor.kind, outer, factor.axis, (*factor.path, (outer, 0))),
        Factor(factor.kind, inner, factor.axis, (*factor.path, (outer, 1))),
    )


def permuted(layout: Layout, operation: Operation) -> Layout:
    """The dimensions in another order, which torch itself tells of a tensor of sizes 2, 3, 4, ..."""
    probe = torch.empty(tuple(range(2, 2 + len(layout))), device="meta")
    others = {name: value for name, value in operation.arguments.items() if name != "input"}
    shape = getattr(torch.ops.aten, operation.kind)(probe, **others).shape
    return tuple(layout[length - 2] for length in shape)


def width(layout: Layout) -> int:
    """How many channels there are."""
    return prod(factor.size for factor in flat(layout) if factor.kind == "channel")


def kinds_of(dimension: Sequence[Factor]) -> set[str]:
    """What lies along a dimension."""
    return {factor.kind for factor in dimension}
