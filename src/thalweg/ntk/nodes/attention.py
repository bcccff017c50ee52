"""Attention: products of queries and keys, their softmax, and what it takes of the values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isclose, prod, sqrt

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.ntk import attention, attention_softmax
from thalweg.ntk.attention import Attended, Tokens
from thalweg.ntk.dual import Dual, dual_of
from thalweg.ntk.dual.elementwise import function_of
from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.affine import matmul
from thalweg.ntk.nodes.branches import overlap
from thalweg.ntk.nodes.builder import EVALUATION, Builder, Rule
from thalweg.ntk.nodes.positions import placed, viewed
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Scores, Symbol
from thalweg.ntk.spatial import diagonal
from thalweg.population.structure.operation import Operation, kinds

SAMPLES, SCRAMBLES = 256, 4  # of the scores, where there is no closed form
FEW_HEADS = 16


@dataclass(frozen=True)
class InOneAxis:
    """All axes of positions as one."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    before: int

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        mean = given[0].mean
        return Own(
            viewed(given[0].q, 1, self.positions, False),
            None if mean is None else viewed(mean, 1, self.positions, False),
        )

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        inputs, one = 1 + at.outer, blocks[0]
        full = one.distance.dim() == inputs + 2 * self.before
        theta = None if one.theta is None else viewed(one.theta, inputs, self.positions, full)
        return Block(viewed(one.distance, inputs, self.positions, full), theta)


@dataclass(frozen=True, eq=False)
class Attention:
    """Sums over keys of a function of the scores times values, by `thalweg.ntk.attention`.

    Args:
        inputs: queries, keys and values.
        factor: on the covariance of the scores, beside that of queries and keys; of fixed ones on the scores, 0 where
            they vanish.
        function: "softmax", "elementwise", or "" for the scores themselves.
        dual, apply: of an elementwise function, and it itself.
        causal: whether a token sees no later ones.
        fixed: whether scores do not fluctuate: those that are divided by the head size.
        errors: standard errors that were found, relative to the largest entry.
    """

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    factor: float
    function: str
    dual: Dual | None
    apply: Callable[[Tensor], Tensor] | None
    causal: bool
    fixed: bool
    errors: list[float] = field(default_factory=list)

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (True, True, True)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        kernels = [_covariance(one) for one in given]
        out = self._attended([Tokens.own_block(one) for one in kernels], kernels[0], kernels[0])
        q = out.kernel.diagonal(dim1=-2, dim2=-1).clamp_min(0)
        return Own(q, extra=torch.stack([*kernels, out.kernel], 1))

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        assert at.own.extra is not None
        assert at.other.extra is not None
        if not at.outer:
            return Block(_apart(at.own.extra[:, 3], at.own.q, at.own.q).to(at.dtype))
        own, other = at.own.extra.unbind(1), at.other.extra.unbind(1)
        tokens = []
        for number, one in enumerate(blocks):
            left, right = (side[number].q for side in (at.left, at.right))
            kernel = (left[:, None, :, None] + right[None, :, None, :]) / 2 - one.distance
            theta = torch.zeros_like(kernel) if one.theta is None else one.theta.double()
            tokens.append(Tokens(kernel, theta, own[number], other[number]))
        out = self._attended(tokens, own[0], other[0])
        assert out.tangent is not None
        if out.error is not None:
            self.errors.append(float(out.error.max() / out.kernel.abs().max()))
        distance = (at.own.q[:, None, :, None] + at.other.q[None, :, None, :]) / 2 - out.kernel
        if at.same:
            distance.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1).zero_()
        found = Block(distance.clamp_(min=0).to(at.dtype), out.tangent.to(at.dtype))
        if not at.full:
            assert found.theta is not None
            found = Block(diagonal(found.distance, 1), diagonal(found.theta, 1))
        return found

    def _attended(self, tokens: list[Tokens], own: Tensor, other: Tensor) -> Attended:
        queries, keys, values = tokens
        allowed = torch.ones(own.shape[-2:], dtype=torch.bool, device=own.device).tril() if self.causal else None
        if self.fixed:
            weights = [self._weights(one, allowed) for one in (own, other)]
            kernel = attention.attended(values.kernel, *weights)
            return Attended(kernel, None if values.tangent is None else attention.attended(values.tangent, *weights))
        queries = Tokens(
            queries.kernel * self.factor,
            None if queries.tangent is None else queries.tangent * self.factor,
            queries.own * self.factor,
            queries.other * self.factor,
        )
        if self.function == "softmax":
            return attention_softmax.softmax(
                queries, keys, values, samples=SAMPLES, scrambles=SCRAMBLES, allowed=allowed
            )
        if self.dual is None:
            return attention.identity(queries, keys, values)
        return attention.elementwise(queries, keys, values, self.dual, allowed=allowed)

    def _weights(self, own: Tensor, allowed: Tensor | None) -> Tensor:
        scores = own * self.factor
        if self.function == "softmax":
            return (scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)).softmax(-1)
        weights = scores if self.apply is None else self.apply(scores)
        return weights if allowed is None else weights.masked_fill(~allowed, 0.0)


def _covariance(own: Own) -> Tensor:
    assert own.distance is not None
    return (own.q[:, :, None] + own.q[:, None, :]) / 2 - own.distance.double()


def _apart(kernel: Tensor, q: Tensor, other: Tensor) -> Tensor:
    return ((q[..., :, None] + other[..., None, :]) / 2 - kernel).clamp_min(0)


def product(builder: Builder, operation: Operation) -> Symbol:
    """A product of two values: with a parameter, of queries with keys, or of attention with values."""
    names = ("input", "mat2") if "mat2" in operation.arguments else ("input", "other")
    left, right = (builder.symbol(operation, name) for name in names)
    if isinstance(left, Scores) and isinstance(right, Field):
        return attend(builder, operation, left, right, causal=False)
    if isinstance(left, Field) and isinstance(right, Field):
        query, key = left, replace(right, layout=(*right.layout[:-2], right.layout[-1], right.layout[-2]))
        return scores(builder, operation, query, key, 1.0)
    found = matmul(builder, operation)
    if found is None:
        raise builder.refusal(
            operation, "it multiplies values that are not queries and keys", "Use layers and attention."
        )
    return found


def scores(builder: Builder, operation: Operation, query: Field, key: Field, scale: float) -> Scores:
    """Of queries (..., tokens, channels) with keys of that layout."""
    for one in (query, key):
        if lay.kinds_of(one.layout[-1]) != {"channel"} or lay.kinds_of(one.layout[-2]) - {"position"}:
            raise builder.refusal(
                operation,
                "it multiplies two values that share an ancestor, other than over the channels of tokens",
                "Use queries and keys of shape (..., tokens, channels).",
            )
        if not one.gaussian:
            raise builder.refusal(
                operation, "its queries or keys are no direct outputs of layers", "Put a layer before it."
            )
    width = prod(factor.size for factor in query.layout[-1])
    tokens = [prod(factor.size for factor in one.layout[-2]) for one in (query, key)]
    along = [(lay.position(axis, size),) if size > 1 else () for axis, size in enumerate(tokens)]
    return Scores(query, key, width, scale, (*query.layout[:-2], along[0], along[1]))


def attend(builder: Builder, operation: Operation, found: Scores, values: Field, *, causal: bool) -> Field:
    """What attention takes of values (..., tokens, channels)."""
    query, key = found.query, found.key
    if not values.gaussian or lay.kinds_of(values.layout[-1]) != {"channel"}:
        raise builder.refusal(operation, "its values are no direct output of a layer", "Put a layer before it.")
    if overlap(values, query) or overlap(values, key):
        raise builder.refusal(
            operation, "its values share their weights with queries or keys", "Use weights of their own."
        )
    heads = prod(factor.size for one in values.layout[:-2] for factor in one if factor.kind == "channel")
    if heads < FEW_HEADS:
        builder.warnings.append(
            f"{operation.module or 'Attention'} has {heads} heads; the limit is that of many, and fewer than "
            f"{FEW_HEADS} differ from it by several percent."
        )
    steps = [_tokens(builder, operation, one) for one in (query, key, values)]
    positions = builder.steps[steps[0]].positions
    layout = (*values.layout[:-2], *placed(positions or (1,)), values.layout[-1])
    if not positions:  # one token attends to itself
        return replace(values, layout=layout)
    tied = query.roots == key.roots and query.step == key.step
    fixed = isclose(found.scale * found.width, 1.0, rel_tol=1e-6) and found.width > 1
    if fixed:
        factor = float(tied)
        if not tied and found.function != "softmax" and not _at_zero(found):
            raise builder.refusal(
                operation,
                "its scores are divided by the head size and its queries and keys have weights of their own, so that "
                "they vanish as heads grow, and with them all that this attention gives",
                "Divide by the root of the head size, or use the same weights for queries and keys.",
            )
    else:
        factor = found.scale**2 * found.width
    if not fixed and (tied or overlap(query, key)):
        raise builder.refusal(
            operation,
            "its queries and keys share their weights, and their products are divided by the root of the head size",
            "Give keys weights of their own, or divide by the head size.",
        )
    step = builder.add(
        Attention(tuple(steps), positions, factor, found.function, found.dual, found.apply, causal, fixed)
    )
    return Field(step, layout, gaussian=False, pre=None, roots=values.roots)


def _at_zero(found: Scores) -> float:
    """What the function of the scores makes of a score of 0."""
    return 0.0 if found.apply is None else float(found.apply(torch.zeros((), dtype=torch.float64)))


def _tokens(builder: Builder, operation: Operation, value: Field) -> int:
    """The step that has tokens as its only axis of positions."""
    factors, sizes = value.layout[-2], builder.positions(value)
    if any(factor.path for factor in factors) or [factor.axis for factor in factors] != list(range(len(sizes))):
        raise builder.refusal(
            operation, "its tokens are not all positions in their order", "Flatten positions into tokens."
        )
    if len(sizes) < 2:
        return value.step
    return builder.add(InOneAxis((value.step,), (prod(sizes),), len(sizes)))


def dot_product(builder: Builder, operation: Operation) -> Symbol:
    """torch's scaled_dot_product_attention."""
    query, key, values = (builder.field(operation, name) for name in ("query", "key", "value"))
    arguments = operation.arguments
    if arguments.get("attn_mask") is not None:
        raise builder.refusal(operation, "it has a mask of its own", "Use no mask, or is_causal=True.")
    if arguments.get("dropout_p"):
        raise builder.refusal(operation, "its dropout is active", EVALUATION)
    found = scores(builder, operation, query, key, 1.0)
    scale = arguments.get("scale")
    scale = 1 / sqrt(found.width) if scale is None else scale
    found = replace(found, scale=scale, function="softmax")
    return attend(builder, operation, found, values, causal=bool(arguments.get("is_causal")))


def softmax(builder: Builder, operation: Operation) -> Symbol:
    """Over keys."""
    found = builder.symbol(operation)
    last = len(operation.shape) - 1
    if not isinstance(found, Scores) or found.function or operation.arguments["dim"] % (last + 1) != last:
        raise builder.refusal(
            operation,
            "it is a softmax of something else than scores over keys",
            "Read the kernel of the logits: leave a softmax at the end to the loss.",
        )
    return replace(found, function="softmax")


def of_scores(builder: Builder, operation: Operation, found: Scores) -> Scores:
    """A number that scores are multiplied by, or an elementwise function of them."""
    number = operation.arguments.get("other")
    if operation.kind in ("mul", "div") and isinstance(number, int | float) and number and not found.function:
        return replace(found, scale=found.scale * (number if operation.kind == "mul" else 1 / number))
    if not found.function:
        numbers = {name: one for name, one in operation.arguments.items() if name != "input"}
        try:
            dual = dual_of(operation.kind, numbers)
            return replace(found, function="elementwise", dual=dual, apply=function_of(operation.kind, numbers))
        except ModelError:
            pass
    raise builder.refusal(
        operation, "it is an unknown function of scores", "Use softmax, relu or the scores themselves."
    )


RULES: dict[str, Rule] = {
    **dict.fromkeys(kinds("matmul mm bmm"), product),
    **dict.fromkeys(kinds("softmax _softmax"), softmax),
    "scaled_dot_product_attention": dot_product,
}
