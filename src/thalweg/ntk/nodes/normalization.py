"""Layer norm, RMS norm, and batch norm with the statistics that it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.affine import parameter
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.population.structure.operation import Operation


@dataclass(frozen=True)
class Normalized:
    """(u - mu) r with r = 1 / sqrt(E (u - mu)^2 + eps), the mean over all channels and over positions along `axes`.

    Args:
        centered: whether the mean mu is taken off.
        axes: of positions over which it is taken.
        factor, term: gamma and beta, one number for all channels.
        gradients: whether they are trained, as 1 or 0: Theta gains K of the normalized values, and 1.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    centered: bool
    axes: tuple[int, ...]
    eps: float
    factor: float
    gradients: tuple[float, float]

    def needs(self, full: bool) -> tuple[bool, ...]:
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        q, mean = given[0].q, given[0].mean
        center = q.new_zeros(q.shape)
        if self.centered and mean is not None:
            center = self._over(mean)
        apart = q if mean is None else q - 2 * center * mean + center**2
        scale = (self._over(apart).clamp_min(0) + self.eps).rsqrt()
        scale = scale.masked_fill(~scale.isfinite(), 0.0)
        out = None if mean is None else (mean - center) * scale * self.factor
        return Own(apart * scale**2 * self.factor**2, out, torch.stack([center, scale, apart], 1))

    def _over(self, values: Tensor) -> Tensor:
        dims = tuple(1 + axis for axis in self.axes)
        return values.mean(dims, keepdim=True).expand(values.shape) if dims else values

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        distance, theta = blocks[0].distance, blocks[0].theta
        assert at.own.extra is not None and at.other.extra is not None
        (center, scale, apart), (center_2, scale_2, apart_2) = at.own.extra.unbind(1), at.other.extra.unbind(1)
        means = at.left[0].mean, at.right[0].mean
        if self.centered and means[0] is not None and means[1] is not None:
            centers = at.of_left(center) - at.of_right(center_2)
            values = at.of_left(means[0]) - at.of_right(means[1])
            distance.addcmul_(centers, values, value=-1.0).addcmul_(centers, centers, value=0.5)
        product = at.of_left(scale) * at.of_right(scale_2)
        distance.mul_(product)
        first = at.of_left(scale) - at.of_right(scale_2)
        distance.addcmul_(first, at.of_left(scale * apart) - at.of_right(scale_2 * apart_2), value=0.5)
        distance.clamp_(min=0)
        if theta is not None or (at.outer and any(self.gradients)):
            square = self.factor**2
            gamma, beta = self.gradients
            theta = torch.zeros_like(distance) if theta is None else theta.mul_(product * square)
            rows = at.of_left(scale**2 * apart * (gamma / 2) + beta)
            theta.add_(distance, alpha=-gamma).add_(rows).add_(at.of_right(scale_2**2 * apart_2 * (gamma / 2)))
        return Block(distance.mul_(self.factor**2), theta)


def layer_norm(builder: Builder, operation: Operation) -> Symbol:
    """Over the last dimensions; all channels must be among them."""
    value = builder.symbol(operation)
    count = len(operation.arguments["normalized_shape"])
    gradients, factor = _trained(builder, operation)
    if isinstance(value, Raw):
        return replace(builder.plain(operation), gradients=gradients)
    if not isinstance(value, Field):
        builder.refuse(operation, "it normalizes a parameter", "Use a plain parameter.")
    inside, outside = lay.flat(value.layout[-count:]), lay.flat(value.layout[:-count])
    if any(factor_.kind == "channel" for factor_ in outside) or any(factor_.kind == "batch" for factor_ in inside):
        builder.refuse(operation, "it normalizes over something else than all channels", "Normalize over channels.")
    axes = tuple(factor_.axis for factor_ in inside if factor_.kind == "position")
    if any(factor_.path for factor_ in inside if factor_.kind == "position"):
        builder.refuse(operation, "it normalizes over a part of an axis of positions", "Normalize over channels.")
    if axes and any(gradients):
        builder.refuse(
            operation,
            "its factors differ from position to position",
            "Normalize over channels only, or use elementwise_affine=False.",
        )
    eps = operation.arguments.get("eps")
    eps = (torch.finfo(torch.float32).eps if operation.kind == "rms_norm" else 1e-5) if eps is None else eps
    return _normalized(builder, value, operation.kind == "layer_norm", axes, eps, factor, gradients)


def _normalized(
    builder: Builder,
    value: Field,
    centered: bool,
    axes: tuple[int, ...],
    eps: float,
    factor: float,
    gradients: tuple[float, float],
) -> Field:
    positions = builder.positions(value)
    step = builder.add(Normalized((value.step,), positions, centered, axes, eps, factor, gradients))
    return replace(value, step=step, pre=step if value.gaussian else None, function=None, parts=())


@dataclass(frozen=True)
class Affined:
    """Times one number, with factors and terms a channel that are trained."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    inner: float
    factor: float
    gradients: tuple[float, float]

    def needs(self, full: bool) -> tuple[bool, ...]:
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        mean = given[0].mean
        number = self.inner * self.factor
        return Own(given[0].q * number**2, None if mean is None else mean * number)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        distance, theta = blocks[0].distance.mul_(self.inner**2), blocks[0].theta
        gamma, beta = self.gradients
        if theta is not None or (at.outer and any(self.gradients)):
            square = (self.inner * self.factor) ** 2
            theta = torch.zeros_like(distance) if theta is None else theta.mul_(square)
            half = gamma * self.inner**2 / 2
            theta.add_(distance, alpha=-gamma)
            theta.add_(at.of_left(at.left[0].q * half + beta)).add_(at.of_right(at.right[0].q * half))
        return Block(distance.mul_(self.factor**2), theta)


def batch_norm(builder: Builder, operation: Operation) -> Symbol:
    """With running statistics 0 and 1, a division by sqrt(1 + eps)."""
    value = builder.symbol(operation)
    module = builder.module.get_submodule(operation.module)
    names = [operation.arguments.get(name) for name in ("running_mean", "running_var")]
    if module.training or operation.arguments.get("training") or None in names:
        builder.refuse(
            operation,
            "batch normalization in training mode makes the examples of a batch depend on each other",
            "Call module.eval(): fresh running statistics are followed.",
        )
    mean, variance = (builder.tensor(str(name)) for name in names)
    if bool((mean != 0).any()) or bool((variance != 1).any()):
        builder.refuse(
            operation,
            "its running statistics have moved from 0 and 1, as in training",
            "Call reset_running_stats() on it: the limit is about initializations.",
        )
    gradients, factor = _trained(builder, operation)
    if isinstance(value, Raw):
        return replace(builder.plain(operation), gradients=gradients)
    if not isinstance(value, Field):
        builder.refuse(operation, "it normalizes a parameter", "Use a plain parameter.")
    if lay.kinds_of(value.layout[1]) != {"channel"}:
        builder.refuse(operation, "its second dimension is not that of channels", "Give it (N, C, *size).")
    inner = (1 + operation.arguments.get("eps", 1e-5)) ** -0.5
    step = builder.add(Affined((value.step,), builder.positions(value), inner, factor, gradients))
    return replace(value, step=step, pre=step if value.gaussian else None, function=None, parts=())


def _trained(builder: Builder, operation: Operation) -> tuple[tuple[float, float], float]:
    """Whether gamma and beta are trained, and gamma, which must be one number; beta must be zero."""
    weight, bias = parameter(builder, operation, "weight"), parameter(builder, operation, "bias")
    factor = 1.0
    for one, what, expected in ((weight, "factors", 1.0), (bias, "terms", 0.0)):
        if one is None:
            continue
        builder.once(operation, one.name)
        numbers = builder.tensor(one.name).double() * one.scale
        first = float(numbers.reshape(-1)[0])
        if bool((numbers != first).any()) or (what == "terms" and first != 0):
            builder.refuse(
                operation,
                f"its {what} {one.name!r} are not all {expected:g}, as in training",
                "Make the module anew: the limit is about initializations.",
            )
        factor = first if what == "factors" else factor
    trained = tuple(float(one is not None and builder.requires_grad(one.name)) for one in (weight, bias))
    return (trained[0], trained[1]), factor


RULES: dict[str, Rule] = {"layer_norm": layer_norm, "rms_norm": layer_norm, "batch_norm": batch_norm}
