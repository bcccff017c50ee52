"""What a traced model does, one operation after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Value(str):
    """The name of a value in the arguments of an operation: an input, a tensor of the model or another's result."""

    __slots__ = ()


@dataclass(frozen=True)
class Operation:
    """One call of a torch operation, as the trace of a model holds it.

    Args:
        name: of the value it gives; operations that read it name it among their `inputs`.
        kind: which operation, as "linear", "layer_norm" or "add"; in-place ones are named as the others.
        module: path of the module whose `forward` calls it; "" is the model itself.
        source: file and line of the model that call it; "" where all of them are torch's own.
        arguments: by their names in torch, with `Value` in the place of every tensor; those left out are defaults.
        shapes: of what it gives, one a tensor, for a batch of the examples that were traced.
        target: torch's full name of it.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> [(one.kind, one.module, one.parameters) for one in problem.structure.operations][:2]
    [('linear', 'hidden1', ('hidden1.weight', 'hidden1.bias')), ('relu', 'activation1', ())]
    """

    name: str
    kind: str
    module: str
    source: str
    arguments: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    target: str = ""
    parameters: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values it reads, in order: results of others, inputs of the model, parameters and buffers."""
        return tuple(values_in(self.arguments))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first tensor it gives."""
        return self.shapes[0] if self.shapes else ()

    def __str__(self) -> str:
        """Its kind, and where it stands."""
        where = f"in {self.module!r}" if self.module else ""
        line = f"({self.source})" if self.source else ""
        return " ".join(part for part in (f"{self.kind!r}", where, line) if part)


def kinds(names: str) -> tuple[str, ...]:
    """Kinds of operations, listed in one string."""
    return tuple(names.split())


def values_in(argument: Any) -> list[Value]:
    """The values in an argument, also those in lists."""
    if isinstance(argument, Value):
        return [argument]
    if isinstance(argument, Mapping):
        return [value for part in argument.values() for value in values_in(part)]
    if isinstance(argument, tuple | list):
        return [value for part in argument for value in values_in(part)]
    return []
