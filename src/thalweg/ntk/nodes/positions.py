"""Means over positions: pooling, global means, and what flattening into a layer makes of positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.ntk.pooling import AxisMaps, PositionMap, WindowMeans, adaptive, pooled, pooled_mean, pooled_q, spreads
from thalweg.ntk.spatial import Window, diagonal
from thalweg.population.structure.operation import Operation, kinds

POOLS = kinds("avg_pool1d avg_pool2d avg_pool3d")
ADAPTIVE = kinds("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d")


def viewed(values: Tensor, inputs: int, sizes: Sequence[int], full: bool) -> Tensor:
    """A block or moments with every axis of positions, also those of one position, or with other axes dropped."""
    return values.reshape(*values.shape[:inputs], *sizes, *(sizes if full else ()))


@dataclass(frozen=True, eq=False)
class Pool:
    """A linear map on positions; it needs all pairs of them."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    sizes: tuple[int, ...]
    by: PositionMap

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (True,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        one = given[0]
        assert one.distance is not None
        spread = spreads(viewed(one.distance, 1, self.sizes, True), self.by).to(one.q.dtype)
        q = pooled_q(viewed(one.q, 1, self.sizes, False), spread, self.by).clamp_min(0)
        mean = None if one.mean is None else pooled_mean(viewed(one.mean, 1, self.sizes, False), self.by)
        mean = None if mean is None else viewed(mean, 1, self.positions, False)
        return Own(viewed(q, 1, self.positions, False), mean, spread)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        inputs = 1 + at.outer
        one, other = (viewed(side[0].q, 1, self.sizes, False).to(at.dtype) for side in (at.left, at.right))
        assert at.own.extra is not None
        assert at.other.extra is not None
        distance = pooled(
            viewed(blocks[0].distance, inputs, self.sizes, True),
            self.by,
            one,
            other,
            at.own.extra.to(at.dtype),
            at.other.extra.to(at.dtype),
        )
        theta = blocks[0].theta
        if theta is not None:
            theta = self._cut(pooled(viewed(theta, inputs, self.sizes, True), self.by), at)
        return Block(self._cut(distance, at).clamp_(min=0), theta)

    def _cut(self, block: Tensor, at: Pairing) -> Tensor:
        """Without the axes of one position, and on the diagonal where no more is needed."""
        block = viewed(block, 1 + at.outer, self.positions, True)
        return block if at.full or not self.positions else diagonal(block, len(self.positions))


@dataclass(frozen=True)
class DiagonalMean:
    """The mean over equal positions along some axes, that a layer on flattened positions sees.

    Args:
        axes: which; the others stay.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    axes: tuple[int, ...]

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full and bool(self.positions),)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        dims = tuple(1 + axis for axis in self.axes)
        mean = given[0].mean
        return Own(given[0].q.mean(dims), None if mean is None else mean.mean(dims))

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        one = blocks[0]
        return Block(self._mean(one.distance, at), None if one.theta is None else self._mean(one.theta, at))

    def _mean(self, block: Tensor, at: Pairing) -> Tensor:
        inputs, count = 1 + at.outer, len(self.positions) + len(self.axes)
        if block.dim() == inputs + count:
            return block.mean(tuple(inputs + axis for axis in self.axes))
        for done, axis in enumerate(sorted(self.axes, reverse=True)):  # from behind, so that those before stay
            first = inputs + axis
            block = block.diagonal(dim1=first, dim2=first + count - done).mean(-1)
        if not at.full and self.positions:
            block = diagonal(block, len(self.positions))
        return block


@dataclass(frozen=True)
class Picked:
    """Some positions along one axis, perhaps one, or several times in a circle.

    Args:
        axis: of positions of what it reads.
        indices: which.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    axis: int
    indices: tuple[int, ...]
    before: int

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        mean = given[0].mean
        return Own(self._picked(given[0].q, 1, False), None if mean is None else self._picked(mean, 1, False))

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        inputs = 1 + at.outer
        full = blocks[0].distance.dim() == inputs + 2 * self.before
        distance, theta = blocks[0].distance, blocks[0].theta
        return Block(self._picked(distance, inputs, full), None if theta is None else self._picked(theta, inputs, full))

    def _picked(self, values: Tensor, inputs: int, full: bool) -> Tensor:
        index = torch.tensor(self.indices)
        if full:
            values = values.index_select(inputs + self.before + self.axis, index)
        values = values.index_select(inputs + self.axis, index)
        return viewed(values, inputs, self.positions, full)


def pooling(builder: Builder, operation: Operation) -> Symbol:
    """Average pooling over all axes of positions."""
    if isinstance(builder.symbol(operation), Raw):
        return builder.plain(operation)
    value = builder.field(operation)
    sizes = spatial(builder, operation, value)
    arguments = operation.arguments
    size = each(arguments["kernel_size"], len(sizes))
    if arguments.get("divisor_override") is not None:
        raise builder.refusal(operation, "it divides by a number of its own", "Leave divisor_override out.")
    stride = each(arguments.get("stride") or size, len(sizes))
    window = Window.of(size, stride=stride, padding=each(arguments.get("padding", 0), len(sizes)))
    by = WindowMeans(window, arguments.get("count_include_pad", True), arguments.get("ceil_mode", False))
    return _mapped(builder, operation, value, by, sizes)


def adaptive_pooling(builder: Builder, operation: Operation) -> Symbol:
    """Adaptive average pooling."""
    if isinstance(builder.symbol(operation), Raw):
        return builder.plain(operation)
    value = builder.field(operation)
    sizes = spatial(builder, operation, value)
    return _mapped(builder, operation, value, adaptive(sizes, operation.shape[2:]), sizes)


def _mapped(builder: Builder, operation: Operation, value: Field, by: PositionMap, sizes: tuple[int, ...]) -> Field:
    """A map of all axes of positions, which lie behind the examples and channels."""
    out = operation.shape[2:]
    if not builder.positions(value):
        if prod(out) > 1 or (operation.kind in POOLS and operation.arguments.get("padding", 0)):
            raise builder.refusal(operation, "it pools a single position into several", "Leave it out.")
        return value.with_layout(value.layout[:2] + placed(out))
    positions = tuple(size for size in out if size > 1)
    step = builder.add(Pool((value.step,), positions, sizes, by))
    return _new(value, step, value.layout[:2] + placed(out))


def placed(sizes: Sequence[int]) -> lay.Layout:
    """One dimension an axis of positions; those of one position have none."""
    rest = iter(range(len(sizes)))
    return tuple((lay.position(next(rest), size),) if size > 1 else () for size in sizes)


def mean(builder: Builder, operation: Operation) -> Symbol:
    """The mean over positions."""
    if isinstance(builder.symbol(operation), Raw):
        return builder.plain(operation)
    value = builder.field(operation)
    count = len(value.layout)
    named = operation.arguments.get("dim")
    named = [named] if isinstance(named, int) else named or list(range(count))
    gone = sorted(place % count for place in named)
    inside = [factor for place in gone for factor in value.layout[place]]
    if any(factor.kind != "position" for factor in inside):
        raise builder.refusal(
            operation,
            "it is a mean over channels or examples, which vanishes with the width or mixes examples",
            "Take means over positions only.",
        )
    if any(factor.path for factor in inside):
        raise builder.refusal(operation, "it is a mean over part of an axis of positions", "Reshape the data instead.")
    keep = operation.arguments.get("keepdim", False)
    layout = [() if place in gone else one for place, one in enumerate(value.layout) if keep or place not in gone]
    axes = {factor.axis for factor in inside}
    if not axes:
        return value.with_layout(tuple(layout))
    sizes = builder.positions(value)
    matrices = tuple(
        torch.full((1, size), 1 / size, dtype=torch.float64) if axis in axes else torch.eye(size, dtype=torch.float64)
        for axis, size in enumerate(sizes)
    )
    positions = tuple(size for axis, size in enumerate(sizes) if axis not in axes)
    step = builder.add(Pool((value.step,), positions, sizes, AxisMaps(matrices)))
    return _new(value, step, without(tuple(layout), axes))


def diagonal_mean(builder: Builder, value: Field, axes: Sequence[int], rest: lay.Layout) -> tuple[int, lay.Layout]:
    """The step of the mean over equal positions along some axes, and the layout of the rest."""
    sizes = builder.positions(value)
    positions = tuple(size for axis, size in enumerate(sizes) if axis not in axes)
    step = builder.add(DiagonalMean((value.step,), positions, tuple(sorted(axes))))
    return step, without(rest, set(axes))


def picked(builder: Builder, value: Field, place: int, indices: Sequence[int], *, keep: bool) -> Field:
    """Some positions along a dimension of positions."""
    factor = value.layout[place][0]
    sizes = builder.positions(value)
    out = [len(indices) if axis == factor.axis else size for axis, size in enumerate(sizes)]
    positions = tuple(size for size in out if size > 1)
    step = builder.add(Picked((value.step,), positions, factor.axis, tuple(indices), len(sizes)))
    layout = list(value.layout)
    if len(indices) > 1:
        layout[place] = (replace(factor, size=len(indices)),)
        return _new(value, step, tuple(layout))
    layout[place : place + 1] = [()] if keep else []
    return _new(value, step, without(tuple(layout), {factor.axis}))


def without(layout: lay.Layout, axes: set[int]) -> lay.Layout:
    """A layout whose axes of positions are counted anew, some being gone."""
    return tuple(
        tuple(
            replace(one, axis=one.axis - sum(axis < one.axis for axis in axes)) if one.kind == "position" else one
            for one in dimension
        )
        for dimension in layout
    )


def spatial(builder: Builder, operation: Operation, value: Field) -> tuple[int, ...]:
    """Sizes of all dimensions behind examples and channels, which must be the axes of positions in their order."""
    behind = value.layout[2:]
    axes = [factor.axis for factor in lay.flat(behind)]
    whole = all(len(one) < 2 for one in behind) and not any(factor.path for factor in lay.flat(behind))
    if not whole or axes != list(range(len(builder.positions(value)))) or len(lay.flat(value.layout[:1])) > 1:
        raise builder.refusal(
            operation, "its dimensions are not examples, channels and positions", "Give it (N, C, *size)."
        )
    return tuple(one[0].size if one else 1 for one in behind)


def each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """One number an axis."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def _new(value: Field, step: int, layout: lay.Layout) -> Field:
    """A linear map of a field: as Gaussian as it was; no longer a function element by element."""
    return replace(value, step=step, layout=layout, pre=step if value.gaussian else None, function=None, parts=())


RULES: dict[str, Rule] = {**dict.fromkeys(POOLS, pooling), **dict.fromkeys(ADAPTIVE, adaptive_pooling), "mean": mean}
