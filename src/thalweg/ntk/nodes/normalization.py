"""Layer norm, RMS norm, group norm of one group, and batch norm with the statistics that it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from thalweg.ntk import normalization
from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.affine import parameter
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.ntk.normalization import Norm
from thalweg.population.structure.operation import Operation


@dataclass(frozen=True)
class Normalized:
    """A norm, and then one factor for all channels, by `thalweg.ntk.normalization`.

    Args:
        kind: "layer", "rms", or "fixed" for statistics 0 and 1.
        over: whether statistics are those of all positions together.
        eps: added to the variance.
        factor: gamma.
        gradients: whether gamma and beta are trained, as 1 or 0.
        each: whether every position has a gamma and a beta of its own.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    kind: Literal["layer", "rms", "fixed"]
    over: bool
    eps: float
    factor: float
    gradients: tuple[float, float]
    each: bool

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        q, mean = given[0].q, given[0].mean
        if self.kind == "fixed":
            norm = normalization.fixed_norm(q, mean, eps=self.eps)
        else:
            rule = normalization.layer_norm if self.kind == "layer" else normalization.rms_norm
            norm = rule(q, mean, eps=self.eps, positions=self.over)
        out = None if mean is None else norm.normalized_mean * self.factor
        kept = torch.stack([norm.inverse, norm.center, norm.q, norm.mean], 1)
        return Own(norm.normalized_q * self.factor**2, out, kept)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        norm, other = _kept(at.own), _kept(at.other)
        full = at.full
        distance = normalization.normalized(blocks[0].distance, norm, other, full=full)
        theta = blocks[0].theta
        if theta is not None:
            theta = normalization.normalized_tangent(theta, norm, other, full=full).mul_(self.factor**2)
        if at.outer and any(self.gradients):
            gain, shift = self.gradients
            kernel = (at.of_left(norm.normalized_q) + at.of_right(other.normalized_q)) / 2 - distance
            axes = len(self.positions)
            terms = normalization.affine_terms(kernel, axes, full=full, gain=gain, shift=shift, per_position=self.each)
            theta = terms if theta is None else theta.add_(terms)
        return Block(distance.mul_(self.factor**2), theta)


def _kept(own: Own) -> Norm:
    assert own.extra is not None
    return Norm(*own.extra.unbind(1))


def layer_norm(builder: Builder, operation: Operation) -> Symbol:
    """Over the last dimensions; all channels must be among them, and all positions or none."""
    value = builder.symbol(operation)
    count = len(operation.arguments["normalized_shape"])
    gradients, factor = _trained(builder, operation)
    if isinstance(value, Raw):
        return replace(builder.plain(operation), gradients=gradients)
    if not isinstance(value, Field):
        raise builder.refusal(operation, "it normalizes a parameter", "Use a plain parameter.")
    inside, outside = lay.flat(value.layout[-count:]), lay.flat(value.layout[:-count])
    if any(one.kind == "channel" for one in outside) or any(one.kind == "batch" for one in inside):
        raise builder.refusal(operation, "it normalizes over something else than all channels", "Normalize channels.")
    over = [one for one in inside if one.kind == "position"]
    if over and any(one.kind == "position" for one in outside):
        raise builder.refusal(operation, "it normalizes over some positions and not over others", "Normalize channels.")
    eps = operation.arguments.get("eps")
    eps = (torch.finfo(torch.float32).eps if operation.kind == "rms_norm" else 1e-5) if eps is None else eps
    kind = "layer" if operation.kind == "layer_norm" else "rms"
    return _normalized(builder, value, kind, bool(over), eps, factor, gradients, each=bool(over))


def group_norm(builder: Builder, operation: Operation) -> Symbol:
    """Of one group: over all channels and positions, with a factor and a term a channel."""
    value = builder.symbol(operation)
    gradients, factor = _trained(builder, operation)
    if operation.arguments["num_groups"] != 1:
        raise builder.refusal(operation, "its groups of channels are told apart", "Use one group, or layer norm.")
    if isinstance(value, Raw):
        return replace(builder.plain(operation), gradients=gradients)
    if not isinstance(value, Field) or lay.kinds_of(value.layout[1]) != {"channel"}:
        raise builder.refusal(operation, "its second dimension is not that of channels", "Give it (N, C, *size).")
    return _normalized(builder, value, "layer", True, operation.arguments.get("eps", 1e-5), factor, gradients)


def _normalized(
    builder: Builder,
    value: Field,
    kind: Literal["layer", "rms", "fixed"],
    over: bool,
    eps: float,
    factor: float,
    gradients: tuple[float, float],
    *,
    each: bool = False,
) -> Field:
    positions = builder.positions(value)
    step = builder.add(Normalized((value.step,), positions, kind, over, eps, factor, gradients, each))
    return replace(value, step=step, pre=step if value.gaussian else None, function=None, parts=())


def batch_norm(builder: Builder, operation: Operation) -> Symbol:
    """With running statistics 0 and 1, a division by sqrt(1 + eps)."""
    value = builder.symbol(operation)
    module = builder.module.get_submodule(operation.module)
    names = [operation.arguments.get(name) for name in ("running_mean", "running_var")]
    if module.training or operation.arguments.get("training") or None in names:
        raise builder.refusal(
            operation,
            "batch normalization in training mode makes the examples of a batch depend on each other",
            "Call module.eval(): fresh running statistics are followed.",
        )
    mean, variance = (builder.tensor(str(name)) for name in names)
    if bool((mean != 0).any()) or bool((variance != 1).any()):
        raise builder.refusal(
            operation,
            "its running statistics have moved from 0 and 1, as in training",
            "Call reset_running_stats() on it: the limit is about initializations.",
        )
    gradients, factor = _trained(builder, operation)
    if isinstance(value, Raw):
        return replace(builder.plain(operation), gradients=gradients)
    if not isinstance(value, Field) or lay.kinds_of(value.layout[1]) != {"channel"}:
        raise builder.refusal(operation, "its second dimension is not that of channels", "Give it (N, C, *size).")
    return _normalized(builder, value, "fixed", False, operation.arguments.get("eps", 1e-5), factor, gradients)


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
            raise builder.refusal(
                operation,
                f"its {what} {one.name!r} are not all {expected:g}, as in training",
                "Make the module anew: the limit is about initializations.",
            )
        factor = first if what == "factors" else factor
    trained = tuple(float(one is not None and builder.requires_grad(one.name)) for one in (weight, bias))
    return (trained[0], trained[1]), factor


RULES: dict[str, Rule] = {
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
}
