"""Layers with weights: linear and convolution; biases; products with parameters and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.contraction import contracted
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Symbol, Weight
from thalweg.population.structure.operation import Operation

FEW = 16  # numbers of the data below which a layer of uniform weights is not Gaussian


@dataclass(frozen=True)
class Affine:
    """K = a Khat + b, Theta = a Theta_hat + c Khat + d: a layer with weights of its own.

    In the reading "ntk" c = a = sigma_w^2 and d = b = sigma_b^2; else c is the fan-in and d is 1; frozen ones are 0.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    weight: float
    bias: float
    weight_gradient: float
    bias_gradient: float

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        return Own(given[0].q * self.weight + self.bias)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        distance, theta = blocks[0].distance, blocks[0].theta
        if at.outer:
            factor = self.weight_gradient
            rows = at.of_left(at.left[0].q * (factor / 2) + self.bias_gradient)
            columns = at.of_right(at.right[0].q * (factor / 2))
            theta = torch.mul(distance, -factor) if theta is None else theta.mul_(self.weight)
            if blocks[0].theta is not None:
                theta.add_(distance, alpha=-factor)
            theta.add_(rows).add_(columns)
        return Block(distance.mul_(self.weight), theta)


@dataclass(frozen=True)
class Scaled:
    """Times a number."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    factor: float

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        mean = given[0].mean
        return Own(given[0].q * self.factor**2, None if mean is None else mean * self.factor)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        one = blocks[0]
        square = self.factor**2
        return Block(one.distance.mul_(square), None if one.theta is None else one.theta.mul_(square))


def weighted(
    builder: Builder, operation: Operation, step: int, weight: Weight, fan_in: int, positions: tuple[int, ...]
) -> int:
    """The step of a weight of its own over a contracted value."""
    builder.once(operation, weight.name)
    variance = builder.moments.weight(weight.name, fan_in) * weight.scale**2
    if fan_in < FEW and _reads_data(builder, step) and not _reads_gaussian(builder, weight.name):
        builder.warnings.append(
            f"{weight.name!r} reads {fan_in} numbers of the data with weights that are uniform, not Gaussian: what "
            "it gives is only roughly Gaussian at any width."
        )
    trained = builder.requires_grad(weight.name)
    standard = builder.reading != "ntk"
    gradient = (weight.scale**2 * fan_in if standard else variance) if trained else 0.0
    return builder.add(Affine((step,), positions, variance, 0.0, gradient, 0.0))


def _reads_data(builder: Builder, step: int) -> bool:
    """Whether a layer's input is data."""
    found = builder.steps[step]
    while len(found.inputs) == 1 and not isinstance(found, Affine):
        found = builder.steps[found.inputs[0]]
    return not found.inputs


def _reads_gaussian(builder: Builder, name: str) -> bool:
    """Whether a tensor's numbers have the fourth moment of a Gaussian, or were given."""
    return not builder.moments.found[name].source.endswith("reset_parameters")


def biased(
    builder: Builder, operation: Operation, step: int, bias: Weight | None, fan_in: int, *, own: bool = True
) -> int:
    """The same with a bias; where the step is the layer's own, it joins it."""
    if bias is None:
        return step
    builder.once(operation, bias.name)
    variance = builder.moments.bias(bias.name, fan_in) * bias.scale**2
    trained = builder.requires_grad(bias.name)
    gradient = (variance if builder.reading == "ntk" else bias.scale**2) if trained else 0.0
    last = builder.steps[step]
    if own and isinstance(last, Affine):
        builder.steps[step] = replace(last, bias=last.bias + variance, bias_gradient=last.bias_gradient + gradient)
        return step
    return builder.add(Affine((step,), last.positions, 1.0, variance, 0.0, gradient))


def fresh(builder: Builder, step: int, layout: lay.Layout) -> Field:
    """A field of a layer of its own: Gaussian, with mean 0."""
    builder.widths[step] = lay.width(layout)
    return Field(step, layout, gaussian=True, pre=step, roots=frozenset({(step, ())}))


def parameter(builder: Builder, operation: Operation, argument: str) -> Weight | None:
    """An argument that is a parameter, or that is left out."""
    if operation.arguments.get(argument) is None:
        return None
    found = builder.symbol(operation, argument)
    if not isinstance(found, Weight):
        raise builder.refusal(
            operation,
            f"its {argument!r} is computed, as by weight_norm, spectral_norm or any parametrization",
            "Use a plain parameter.",
        )
    return found


def linear(builder: Builder, operation: Operation) -> Symbol:
    """y = x W^T + b along the last dimension."""
    value = builder.symbol(operation)
    weight = parameter(builder, operation, "weight")
    assert weight is not None
    return product(builder, operation, value, weight, parameter(builder, operation, "bias"), weight.shape[0])


def product(
    builder: Builder, operation: Operation, value: Symbol, weight: Weight, bias: Weight | None, out: int
) -> Symbol:
    """A field of `out` new channels from the last dimension of a value."""
    last = len(value.layout) - 1  # type: ignore[union-attr]
    if isinstance(value, Weight):
        raise builder.refusal(operation, "it multiplies two parameters", "Use one parameter a layer.")
    fan_in = prod(factor.size for factor in value.layout[last])
    step, rest = contracted(builder, operation, value, [last])
    step = weighted(builder, operation, step, weight, fan_in, builder.steps[step].positions)
    step = biased(builder, operation, step, bias, fan_in)
    return fresh(builder, step, (*rest[:-1], (lay.channel(out),) if out > 1 else ()))


def matmul(builder: Builder, operation: Operation) -> Symbol | None:
    """x @ W of a parameter; None where neither is one."""
    names = ("input", "mat2") if "mat2" in operation.arguments else ("input", "other")
    left, right = (builder.symbol(operation, name) for name in names)
    if isinstance(right, Weight) and not isinstance(left, Weight) and len(right.shape) == 2:
        return product(builder, operation, left, right, None, right.shape[1])
    return None


def addmm(builder: Builder, operation: Operation) -> Symbol:
    """b + x @ W."""
    left, right = builder.symbol(operation, "mat1"), builder.symbol(operation, "mat2")
    bias = parameter(builder, operation, "input")
    if not isinstance(right, Weight) or isinstance(left, Weight):
        raise builder.refusal(operation, "it is no product with one parameter", "Use nn.Linear.")
    return product(builder, operation, left, right, bias, right.shape[1])


def bias_added(builder: Builder, operation: Operation, value: Field, bias: Weight) -> Field:
    """A parameter of one number a channel that is added."""
    last = value.layout[-1]
    if (
        lay.kinds_of(last) != {"channel"}
        or bias.shape[-1] != lay.width(value.layout)
        or prod(bias.shape) != bias.shape[-1]
    ):
        raise builder.refusal(
            operation,
            f"the parameter {bias.name!r} that is added is not one number a channel",
            "Use the bias of a layer, or an embedding of positions.",
        )
    step = biased(builder, operation, value.step, bias, 1, own=False)
    roots = value.roots | {(step, ())}
    return replace(value, step=step, pre=step if value.gaussian else None, function=None, roots=roots, parts=())


RULES: dict[str, Rule] = {"linear": linear, "addmm": addmm}
