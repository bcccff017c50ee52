"""What a traced value is, while a program is read off: data, a parameter, or a field over initializations."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from thalweg.ntk.dual import Dual
from thalweg.ntk.nodes.layout import Layout

Root = tuple[int, tuple[tuple[object, object], ...]]  # a step, and which part of its channels: (of which split, index)


@dataclass(frozen=True)
class Raw:
    """A value that is computed of the data alone, exactly, or that is constant.

    Args:
        name: in the trace.
        layout: what lies along its dimensions.
        gradients: whether it was last multiplied by factors of 1 a channel that are trained, and the same of terms.
    """

    name: str
    layout: Layout
    gradients: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Weight:
    """A parameter times a number, its dimensions perhaps in another order."""

    name: str
    shape: tuple[int, ...]
    scale: float = 1.0
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class Field:
    """A value whose channels are alike over initializations.

    Args:
        step: which step of the program gives it.
        layout: what lies along its dimensions.
        gaussian: whether it is Gaussian with mean 0 in the limit.
        pre: the step of the Gaussian value of which it is a function, element by element; None where it is not.
        function: that function; None is the identity.
        roots: the layers that made its channels, with the part of their channels.
        parts: where it was concatenated, its parts along channels.
    """

    step: int
    layout: Layout
    gaussian: bool
    pre: int | None
    roots: frozenset[Root]
    function: Callable[[Tensor], Tensor] | None = None
    parts: "tuple[Field, ...]" = ()

    def with_layout(self, layout: Layout) -> "Field":
        """The same, seen in another shape."""
        return replace(self, layout=layout, parts=self.parts if layout == self.layout else ())


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys, of every token with every other.

    Args:
        query, key: fields.
        width: numbers that are summed in one product.
        scale: that the sum is multiplied by.
        layout: what lies along its dimensions; queries are positions of axis 0, keys of axis 1.
        function: of the scores: "" for themselves, "softmax" over keys, or an elementwise one by `dual`.
        dual: of an elementwise function.
        apply: the elementwise function itself.
    """

    query: Field
    key: Field
    width: int
    scale: float
    layout: Layout
    function: str = ""
    dual: Dual | None = None
    apply: Callable[[Tensor], Tensor] | None = None


Symbol = Raw | Weight | Field | Scores
