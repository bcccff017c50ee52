"""Convolution of one to three dimensions, and the padding before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.affine import biased, fresh, parameter, weighted
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.contraction import contracted
from thalweg.ntk.nodes.positions import each, picked, placed, spatial, viewed
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.ntk.spatial import Window, windowed
from thalweg.population.structure.operation import Operation, kinds

FEWEST = 16  # channels a group, below which groups have no limit


@dataclass(frozen=True)
class Windowed:
    """The mean over the offsets of a filter that all positions share; zeros outside."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    sizes: tuple[int, ...]
    window: Window

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        return Own(
            self._moved(given[0].q, 1, False), None if given[0].mean is None else self._moved(given[0].mean, 1, False)
        )

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        inputs = 1 + at.outer
        full = blocks[0].distance.dim() == inputs + 2 * sum(size > 1 for size in self.sizes)
        q, other = (viewed(side[0].q, 1, self.sizes, False).to(at.dtype) for side in (at.left, at.right))
        full = full and any(size > 1 for size in self.sizes)
        distance = self._moved(blocks[0].distance, inputs, full, q, other)
        theta = blocks[0].theta
        return Block(distance, None if theta is None else self._moved(theta, inputs, full))

    def _moved(
        self, values: Tensor, inputs: int, full: bool, q: Tensor | None = None, other: Tensor | None = None
    ) -> Tensor:
        values = viewed(values, inputs, self.sizes, full)
        moved = windowed(values, self.window, full, q if full else None, other if full else None)
        return viewed(moved, inputs, self.positions, full)


def convolution(builder: Builder, operation: Operation) -> Symbol:
    """A filter of its own for every pair of channels, shared by all positions."""
    value = builder.symbol(operation)
    weight, bias = parameter(builder, operation, "weight"), parameter(builder, operation, "bias")
    assert weight is not None
    arguments = operation.arguments
    groups = arguments.get("groups", 1)
    inside = weight.shape[1]
    if groups > 1 and (isinstance(value, Raw) or inside < FEWEST):
        raise builder.refusal(
            operation,
            f"its {groups} groups have {inside} channels each, and groups have a limit only as these grow",
            "Use groups=1, or wide groups.",
        )
    if not isinstance(value, Field):
        if not isinstance(value, Raw) or len(value.layout) != len(weight.shape):
            raise builder.refusal(operation, "its input has no dimension of examples", "Give it (N, C, *size).")
        sizes = tuple(prod(factor.size for factor in one) for one in value.layout[2:])
    else:
        sizes = spatial(builder, operation, value)
    step, rest = contracted(builder, operation, value, [1])
    window = Window.of(
        weight.shape[2:],
        stride=each(arguments.get("stride", 1), len(sizes)),
        padding=_padding(arguments.get("padding", 0), len(sizes)),
        dilation=each(arguments.get("dilation", 1), len(sizes)),
    )
    out = operation.shape[2:]
    positions = tuple(size for size in out if size > 1)
    if positions and prod(sizes) == 1:
        raise builder.refusal(operation, "it makes several positions of a single one", "Use no padding there.")
    step = builder.add(Windowed((step,), positions, sizes, window))
    fan_in = inside * prod(weight.shape[2:])
    step = weighted(builder, operation, step, weight, fan_in, positions)
    step = biased(builder, operation, step, bias, fan_in)
    channels = (lay.channel(operation.shape[1]),) if operation.shape[1] > 1 else ()
    return fresh(builder, step, (rest[0], channels, *placed(out)))


def _padding(padding: Any, axes: int) -> Any:
    return padding if isinstance(padding, str) else each(padding, axes)


def padded(builder: Builder, operation: Operation) -> Symbol:
    """Cells of the other end around the image."""
    if isinstance(builder.symbol(operation), Raw):
        return builder.plain(operation)
    value = builder.field(operation)
    if operation.arguments.get("mode", "constant") != "circular":
        raise builder.refusal(operation, "it pads values that are random", "Use the padding of a convolution.")
    pad = operation.arguments["pad"]
    for behind in range(len(pad) // 2):
        before, after = pad[2 * behind], pad[2 * behind + 1]
        place = len(value.layout) - 1 - behind
        dimension = value.layout[place]
        if len(dimension) != 1 or dimension[0].kind != "position" or dimension[0].path:
            raise builder.refusal(operation, "it pads something else than positions", "Pad positions.")
        size = dimension[0].size
        indices = [index % size for index in range(-before, size + after)]
        value = picked(builder, value, place, indices, keep=True)
    return value


def transposed(builder: Builder, operation: Operation) -> Symbol:
    """Not followed."""
    raise builder.refusal(
        operation, "transposed convolutions are not followed", "Use nn.Upsample on the data, or convolution."
    )


RULES: dict[str, Rule] = {
    **dict.fromkeys(kinds("conv1d conv2d conv3d convolution"), convolution),
    **dict.fromkeys(kinds("conv_transpose1d conv_transpose2d conv_transpose3d"), transposed),
    "pad": padded,
}
