"""Embeddings: rows of a table that are read by whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.affine import fresh, parameter
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Raw, Symbol
from thalweg.population.structure.operation import Operation


@dataclass(frozen=True)
class Lookup:
    """K = sigma^2 where two symbols are the same, else 0; Theta the same with `gradient`.

    Args:
        raw: name of the symbols, (examples, *positions).
        padding: the symbol whose row is zero, or -1.
    """

    raw: str
    positions: tuple[int, ...]
    variance: float
    gradient: float
    padding: int
    inputs: tuple[int, ...] = ()

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return ()

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        symbols = raws[self.raw]
        return Own((symbols != self.padding).double() * self.variance, extra=symbols)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        assert at.own.extra is not None
        assert at.other.extra is not None
        left, right = _beside(at.own.extra, at, left=True), _beside(at.other.extra, at, left=False)
        same = ((left == right) & (left != self.padding)).to(at.dtype)
        means = (at.of_left(at.own.q) + at.of_right(at.other.q)) / 2
        return Block((means - same * self.variance).contiguous(), same * self.gradient if at.outer else None)


def _beside(symbols: Tensor, at: Pairing, *, left: bool) -> Tensor:
    """Whole numbers, so that they broadcast as the pairing's moments do."""
    count = symbols.dim() - 1
    if left:
        symbols = symbols[:, None] if at.outer else symbols
        return symbols[(..., *[None] * count)] if at.full else symbols
    symbols = symbols[(slice(None), *[None] * count)] if at.full else symbols
    return symbols[None] if at.outer else symbols


def embedding(builder: Builder, operation: Operation) -> Symbol:
    """One row a symbol."""
    weight, symbols = parameter(builder, operation, "weight"), builder.symbol(operation, "indices")
    if weight is None or not isinstance(symbols, Raw):
        raise builder.refusal(operation, "it is read by something else than data", "Use nn.Embedding on whole numbers.")
    builder.once(operation, weight.name)
    variance = builder.moments.weight(weight.name, 1) * weight.scale**2
    gradient = variance if builder.reading == "ntk" else weight.scale**2
    gradient *= builder.requires_grad(weight.name)
    sizes: list[int] = []
    layout: list[tuple[lay.Factor, ...]] = []
    for dimension in symbols.layout:
        layout.append(())
        for factor in dimension:
            one = factor if factor.kind == "batch" else lay.position(len(sizes), factor.size)
            sizes += [] if factor.kind == "batch" else [factor.size]
            layout[-1] = (*layout[-1], one)
    padding = operation.arguments.get("padding_idx", -1)
    step = builder.add(Lookup(builder.request(symbols), tuple(sizes), variance, gradient, padding))
    width = weight.shape[1]
    return fresh(builder, step, (*layout, (lay.channel(width),) if width > 1 else ()))


RULES: dict[str, Rule] = {"embedding": embedding}
