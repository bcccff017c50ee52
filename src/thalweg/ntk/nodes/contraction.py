"""What a layer with weights reads: the mean over all channels, and over the positions that are flattened into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import Builder
from thalweg.ntk.nodes.positions import diagonal_mean
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.ntk.spatial import pairs_innermost
from thalweg.population.structure.operation import Operation


@dataclass(frozen=True)
class Gram:
    """What a layer sees of the data: D = |x - x'|^2 / 2 d of the d numbers at every position.

    Args:
        raw: name of the value.
        positions: sizes of the axes that are positions; the others are contracted.
        gradients: whether factors of 1 and terms of 0 a channel, that were applied to the data, are trained.
    """

    raw: str
    positions: tuple[int, ...]
    gradients: tuple[float, float] = (0.0, 0.0)
    inputs: tuple[int, ...] = ()

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return ()

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        values = raws[self.raw]  # (inputs, *positions, d)
        return Own(values.double().square().mean(-1), values.double().mean(-1), values)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        left, right = at.own.extra, at.other.extra
        assert left is not None
        assert right is not None
        left, right = left.double(), right.double()
        size, axes = left.shape[-1], len(self.positions)
        left, right = left.reshape(len(left), -1, size), right.reshape(len(right), -1, size)
        if at.outer and (at.full or not axes):
            center = left.flatten(0, 1).mean(0)
            one, other = (left - center).flatten(0, 1), (right - center).flatten(0, 1)
            product = torch.addmm(
                one.square().sum(1)[:, None] + other.square().sum(1), one, other.T, beta=0.5 / size, alpha=-1 / size
            )
            product = product.reshape(*left.shape[:2], *right.shape[:2]).transpose(1, 2)
            if at.same and at.outer:
                product.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1).zero_()
            product = product.reshape(len(left), len(right), *self.positions, *self.positions)
        elif at.full:
            product = torch.cdist(left, right).square_().div_(2 * size)
            product = product.reshape(len(left), *self.positions, *self.positions)
        else:
            one, other = left.transpose(0, 1), right.transpose(0, 1)  # (positions, inputs, d)
            center = one.mean(1, keepdim=True)
            one, other = one - center, other - center
            base = one.square().sum(2)[:, :, None] + other.square().sum(2)[:, None]
            product = torch.baddbmm(base, one, other.mT, beta=0.5 / size, alpha=-1 / size)
            if at.same:
                product.diagonal(dim1=1, dim2=2).zero_()
            product = product.permute(1, 2, 0).reshape(len(left), len(right), *self.positions)
        product.clamp_(min=0)
        distance = (pairs_innermost(product, 1 + at.outer) if at.full else product).to(at.dtype)
        if not at.outer or not any(self.gradients):
            return Block(distance)
        gamma, beta = self.gradients
        rows, columns = at.of_left(at.own.q * gamma / 2 + beta), at.of_right(at.other.q * gamma / 2)
        return Block(distance, (distance * -gamma).add_(rows).add_(columns))


def contracted(
    builder: Builder, operation: Operation, value: Symbol, dimension: Sequence[int]
) -> tuple[int, lay.Layout]:
    """The step that gives a value's mean over all that lies along some dimensions, and the layout of the others."""
    if isinstance(value, Raw):
        return lifted(builder, operation, value, dimension)
    if not isinstance(value, Field):
        raise builder.refusal(operation, "it multiplies two parameters", "Use one parameter a layer.")
    rest = tuple(() if place in dimension else one for place, one in enumerate(value.layout))
    inside = [factor for place in dimension for factor in value.layout[place]]
    outside = lay.flat(rest)
    if any(factor.kind == "batch" for factor in inside):
        raise builder.refusal(
            operation, "it mixes the examples of a batch", "Every example must be computed by itself."
        )
    if any(factor.kind == "channel" for factor in outside):
        raise builder.refusal(
            operation,
            "its weights mix positions while channels stay apart, so that it is no sum over channels",
            "Mix positions by convolution, pooling or attention.",
        )
    axes = [factor.axis for factor in inside if factor.kind == "position"]
    if any(factor.path for factor in inside if factor.kind == "position"):
        raise builder.refusal(
            operation, "it sums over a part of an axis of positions", "Reshape before the first layer."
        )
    if axes:
        return diagonal_mean(builder, value, axes, rest)
    return value.step, rest


def lifted(builder: Builder, operation: Operation, value: Raw, dimension: Sequence[int]) -> tuple[int, lay.Layout]:
    """The Gram step of data; every dimension that is left is a position."""
    sizes: list[int] = []
    rest: list[tuple[lay.Factor, ...]] = []
    if not any(factor.kind == "batch" for factor in lay.flat(value.layout)):
        raise builder.refusal(
            operation, "it reads numbers that do not depend on the example", "Compute it of the input."
        )
    for place, factors in enumerate(value.layout):
        if place in dimension:
            if "batch" in lay.kinds_of(factors):
                raise builder.refusal(
                    operation, "it mixes the examples of a batch", "Every example must stay by itself."
                )
            rest.append(())
            continue
        new: list[lay.Factor] = []
        for factor in factors:
            if factor.kind == "batch":
                new.append(factor)
            else:
                new.append(lay.position(len(sizes), factor.size))
                sizes.append(factor.size)
        rest.append(tuple(new))
    name = builder.request(value, dimension)
    step = builder.add(Gram(name, tuple(sizes), value.gradients))
    return step, tuple(rest)
