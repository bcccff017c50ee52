"""What an operation is to the units of a group: it makes them, passes each of them on, or sums over them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from thalweg.population.structure import mixing
from thalweg.population.structure.elementwise import UNIFORM
from thalweg.population.structure.groups import UnitGroup
from thalweg.population.structure.operation import Operation, kinds
from thalweg.population.structure.shapes import SPLITS

PARTS = {*SPLITS, "getitem", "index", "index_select", "narrow", "select", "slice", "unbind"}
SHAPED = kinds("expand_as reshape_as to type_as view_as")  # like a second argument, of which no numbers are read
OUT_AND_IN = {"linear": (0, 1), "embedding": (1, 0)} | {
    kind: (1, 0) if "transpose" in kind else (0, 1) for kind in mixing.CONVOLUTIONS
}
PRODUCTS = kinds("addmm baddbmm bmm matmul mm mv")
Dims = Mapping[str, tuple[tuple[str, ...], ...]]


def data_of(operation: Operation) -> tuple[str, ...]:
    """The values of which an operation reads numbers."""
    if operation.kind in UNIFORM:
        return ()
    return operation.inputs[:1] if operation.kind in SHAPED else operation.inputs


def carries(dims: Dims, value: str, group: UnitGroup) -> bool:
    """Whether units of a group lie along a dimension of a value."""
    return any(group.name in names for names in dims.get(value, ()))


@dataclass(frozen=True)
class Layer:
    """What an operation multiplies by and sums over.

    Args:
        weight: a parameter or buffer.
        data: what it is multiplied by.
        bias: what is added.
        out, inner: the weight's dimension that goes on and the one that is summed over; None where there is none.
    """

    weight: str
    data: str
    bias: str | None
    out: int | None
    inner: int | None

    @classmethod
    def of(cls, operation: Operation, dims: Dims) -> "Layer | None":
        """None of operations that are no layers, or that multiply by no parameter."""
        arguments, inputs = operation.arguments, operation.inputs
        if operation.kind in OUT_AND_IN:
            weight = arguments["weight"]
            out, inner = OUT_AND_IN[operation.kind]
            data = arguments.get("input", arguments.get("indices"))
            found = cls(weight, data, arguments.get("bias"), out, inner)
            return found if weight in operation.parameters else None
        if operation.kind == "einsum":
            return cls._of_letters(operation)
        if operation.kind not in PRODUCTS:
            return None
        bias = inputs[0] if len(inputs) > 2 else None
        if inputs[-1] in operation.parameters:
            last = len(dims[inputs[-1]]) - 1
            return cls(inputs[-1], inputs[-2], bias, last if last else None, max(last - 1, 0))
        if inputs[-2] in operation.parameters:
            last = len(dims[inputs[-2]]) - 1
            return cls(inputs[-2], inputs[-1], bias, last - 1 if last else None, last)
        return None

    @classmethod
    def _of_letters(cls, operation: Operation) -> "Layer | None":
        """Of an einsum of a parameter and another value, with one letter of each kind at most."""
        left, arrow, out = operation.arguments["equation"].replace(" ", "").partition("->")
        pairs = list(zip(left.split(","), operation.inputs, strict=True))
        weights = [pair for pair in pairs if pair[1] in operation.parameters]
        if len(pairs) != 2 or len(weights) != 1 or "." in left or not arrow:
            return None
        ((letters, weight),) = weights
        ((others, data),) = (pair for pair in pairs if pair[1] != weight)
        kept = [place for place, letter in enumerate(letters) if letter in out and letter not in others]
        gone = [place for place, letter in enumerate(letters) if letter not in out]
        if len(kept) > 1 or len(gone) > 1 or any(letters[place] not in others for place in gone):
            return None
        return cls(weight, data, None, kept[0] if kept else None, gone[0] if gone else None)


class Roles:
    """Who makes units and who sums over them, by what the flow noted of each tensor (see `UnitGroup`).

    Args:
        operations, dims, inputs: of a `Structure`.
        tensors: first names of parameters and buffers.
    """

    def __init__(
        self, operations: Iterable[Operation], dims: Dims, inputs: Collection[str], tensors: Collection[str]
    ) -> None:
        self.dims, operations = dims, tuple(operations)
        results = {*inputs, *(one.name for one in operations)}
        constants = {name for one in operations for name in one.inputs} - results - set(tensors)
        # values that no input and no layer has a part in, with the tensors that they are made of
        self.made_of: dict[str, set[str]] = {name: {name} for name in tensors} | {name: set() for name in constants}
        for one in operations:
            if one.kind not in OUT_AND_IN and all(name in self.made_of for name in one.inputs):
                self.made_of[one.name] = self._tensors(one)

    def reads(self, operation: Operation, group: UnitGroup) -> bool:
        """Whether it sums over units, with weights or without."""
        data = [name for name in data_of(operation) if name not in self.made_of and carries(self.dims, name, group)]
        if not data or not operation.shapes or operation.kind in PARTS or operation.kind.startswith("_assert"):
            return False
        weighted = operation.kind in mixing.RULES and not self._tensors(operation).isdisjoint(
            one.tensor for one in group.read
        )
        return weighted or not carries(self.dims, operation.name, group)

    def writes(self, operation: Operation, group: UnitGroup) -> bool:
        """Whether it makes units of numbers of their own, and not of the same units."""
        if operation.name in self.made_of or not carries(self.dims, operation.name, group):
            return False
        if self._tensors(operation).isdisjoint(one.tensor for one in group.written):
            return False
        passed = any(name not in self.made_of and carries(self.dims, name, group) for name in data_of(operation))
        return not passed or self.reads(operation, group)

    def _tensors(self, operation: Operation) -> set[str]:
        """The parameters and buffers that it reads, also after they were reshaped."""
        return {tensor for name in operation.inputs for tensor in self.made_of.get(name, ())}
