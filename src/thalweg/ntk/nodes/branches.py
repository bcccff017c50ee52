"""Branches that meet: sums of residual branches, and channels of several values one behind the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.contraction import lifted
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.population.structure.operation import Operation


@dataclass(frozen=True)
class Sum:
    """K = K_1 + K_2 + m_1 m_2' + m_2 m_1', Theta = Theta_1 + Theta_2: two branches behind weights of their own."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full, full)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        one, other = given
        q = one.q + other.q
        if one.mean is None or other.mean is None:
            return Own(q, other.mean if one.mean is None else one.mean)
        return Own(q + 2 * one.mean * other.mean, one.mean + other.mean)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        one, other = blocks
        distance = one.distance.add_(other.distance)
        means = [(left.mean, right.mean) for left, right in zip(at.left, at.right, strict=True)]
        (left, right), (left_2, right_2) = means
        if left is not None and right is not None and left_2 is not None and right_2 is not None:
            first = at.of_left(left) - at.of_right(right)
            distance.addcmul_(first, at.of_left(left_2) - at.of_right(right_2))
        thetas = [theta for theta in (one.theta, other.theta) if theta is not None]
        return Block(distance, sum(thetas[1:], thetas[0]) if thetas else None)


@dataclass(frozen=True)
class Mixed:
    """Channels of several values one behind the other: the mean of their kernels, by their widths."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    shares: tuple[float, ...]

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,) * len(self.inputs)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        q = sum(share * one.q for share, one in zip(self.shares, given, strict=True))
        means = [share * one.mean for share, one in zip(self.shares, given, strict=True) if one.mean is not None]
        return Own(q, sum(means[1:], means[0]) if means else None)  # type: ignore[arg-type]

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        distance = sum(share * one.distance for share, one in zip(self.shares, blocks, strict=True))
        thetas = [share * one.theta for share, one in zip(self.shares, blocks, strict=True) if one.theta is not None]
        return Block(distance, sum(thetas[1:], thetas[0]) if thetas else None)  # type: ignore[arg-type]


def aligned(one: lay.Layout, other: lay.Layout) -> lay.Layout:
    """A layout as torch broadcasts it to another: with dimensions in front, and the examples where it has none."""
    one = ((),) * (len(other) - len(one)) + one
    return tuple(
        theirs if not mine and lay.kinds_of(theirs) == {"batch"} else mine
        for mine, theirs in zip(one, other, strict=True)
    )


def summed(builder: Builder, operation: Operation, left: Raw | Field, right: Raw | Field) -> Field:
    """The sum of two branches, whose last layers must differ."""
    if isinstance(left, Raw):
        left, right = right, left
    assert isinstance(left, Field)
    if isinstance(right, Raw):
        right = as_field(builder, operation, right, left)
    if len(left.layout) >= len(right.layout):
        right = right.with_layout(aligned(right.layout, left.layout))
    if len(right.layout) >= len(left.layout):
        left = left.with_layout(aligned(left.layout, right.layout))
    if _shapes(left) != _shapes(right):
        raise builder.refusal(operation, "it adds values of different shapes", "Give both branches one shape.")
    if overlap(left, right):
        raise builder.refusal(
            operation,
            "it adds two branches that share their last weights",
            "Put a layer of its own behind one of them.",
        )
    step = builder.add(Sum((left.step, right.step), builder.positions(left)))
    gaussian = left.gaussian and right.gaussian
    return Field(step, left.layout, gaussian, step if gaussian else None, left.roots | right.roots)


def as_field(builder: Builder, operation: Operation, raw: Raw, like: Field) -> Field:
    """Data as a branch: its channels are no random ones, but a layer behind the sum takes the mean over them."""
    channels = [place for place, one in enumerate(like.layout) if "channel" in lay.kinds_of(one)]
    if len(raw.layout) != len(like.layout):
        raise builder.refusal(operation, "it adds values of different shapes", "Give both branches one shape.")
    step, rest = lifted(builder, operation, raw, channels)
    layout = tuple(like.layout[place] if place in channels else one for place, one in enumerate(rest))
    return Field(step, layout, gaussian=False, pre=None, roots=frozenset({(step, ())}))


def concatenated(builder: Builder, operation: Operation) -> Symbol:
    """Channels of several fields one behind the other."""
    values = [builder.symbols[name] for name in operation.arguments["tensors"]]
    fields = [one for one in values if isinstance(one, Field)]
    if not fields and all(isinstance(one, Raw) for one in values):
        return builder.plain(operation)
    if len(fields) != len(values):
        raise builder.refusal(operation, "it puts data and random values together", "Put a linear layer before it.")
    place = operation.arguments.get("dim", 0) % len(fields[0].layout)
    if any(lay.kinds_of(one.layout[place]) != {"channel"} for one in fields):
        raise builder.refusal(operation, "it puts positions or examples together", "Put channels together.")
    rests = [tuple(d for at, d in enumerate(one.layout) if at != place) for one in fields]
    if any(rest != rests[0] for rest in rests):
        raise builder.refusal(operation, "its parts differ in their positions", "Give all parts the same positions.")
    layout = list(fields[0].layout)
    layout[place] = (lay.channel(operation.shape[place]),)
    return mixed(builder, fields, tuple(layout))


def mixed(builder: Builder, fields: Sequence[Field], layout: lay.Layout) -> Field:
    """A field of parts."""
    widths = [lay.width(one.layout) for one in fields]
    shares = tuple(width / sum(widths) for width in widths)
    step = builder.add(Mixed(tuple(one.step for one in fields), builder.positions(fields[0]), shares))
    roots = frozenset(root for one in fields for root in one.roots)
    return Field(step, layout, gaussian=False, pre=None, roots=roots, parts=tuple(fields))


def _shapes(value: Field) -> list[list[tuple[str, int, int]]]:
    """Kinds and sizes along every dimension, whichever layer made the channels."""
    return [[(one.kind, one.size, one.axis) for one in dimension] for dimension in value.layout]


def overlap(left: Field, right: Field) -> bool:
    """Whether the branches read parts of one layer's channels that are not known to be apart."""
    return any(
        a == b and not any(one[0] == two[0] and one[1] != two[1] for one, two in zip(part, other, strict=False))
        for a, part in left.roots
        for b, other in right.roots
    )


RULES: dict[str, Rule] = {"cat": concatenated, "concat": concatenated}
