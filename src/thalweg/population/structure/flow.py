"""What passes through a traced model: the dimensions of every value, as far as its operations tell indices apart."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from thalweg.population.structure.axes import Axis
from thalweg.population.structure.dimensions import (
    Dimension,
    Dimensions,
    all_fixed,
    check,
    equal,
    fix_all,
    free_axes,
    merged,
    renamed,
    size,
)
from thalweg.population.structure.operation import Operation, Value
from thalweg.population.structure.tags import Tags
from thalweg.population.structure.tracing import Trace

Letters = Sequence[Hashable]
Operand = tuple[str, Letters] | tuple[str, Letters, Dimensions]  # its dimensions where they are not those of the value
Rule = Callable[["Flow", Operation], "Dimensions | list[Dimensions]"]


class UnknownUseError(Exception):
    """An operation is used in a way that its rule does not know; rules raise it, and all it reads is then fixed."""


class Flow:
    """A trace followed by rules, one for every kind of operation; one that has no rule fixes all that it reads.

    Args:
        trace: of a model.
        rules: by the kind of operation; they restrict the axes of what an operation reads, and say those it gives.

    Attributes:
        values: dimensions of every value, one entry a tensor.
        rows: dimensions that tensors have in some rows only: (tensor, dimension, rows) -> axis.
        kept, contracted: by tensor, axes of its dimensions that go on, and those that are summed over.
        unknown: operations without a rule that fixed something.
    """

    def __init__(self, trace: Trace, rules: Mapping[str, Rule]) -> None:
        self.values: dict[str, list[Dimensions]] = {}
        self.uses = Counter(name for operation in trace.operations for name in operation.inputs)
        self.tensors: dict[str, tuple[Axis, ...]] = {
            name: tuple(map(Axis, shape)) for name, shape in trace.tensors.items()
        }
        self.rows: dict[tuple[str, int, tuple[int, ...]], Axis] = {}
        self.kept: dict[str, list[Dimension]] = {name: [] for name in trace.tensors}
        self.contracted: dict[str, list[Dimension]] = {name: [] for name in trace.tensors}
        self.unknown: list[Operation] = []
        self.tags = Tags()
        self.made_of: dict[str, set[str]] = {}  # tensors, of values that do not depend on the input
        for name, own in self.tensors.items():
            self.values[name] = [own]
            self.made_of[name] = {name}
        for name, shape in trace.constants.items():
            self.values[name], self.made_of[name] = [all_fixed(shape, f"the constant {name!r}")], set()
        for name, shape in trace.inputs.items():
            self.values[name] = [all_fixed(shape, f"the model's input {name!r}")]
        for operation in trace.operations:
            self._follow(operation, rules.get(operation.kind))
        for name in trace.outputs:
            for dimensions in self.values.get(name, []):
                fix_all(dimensions, "the model's output")

    def _follow(self, operation: Operation, rule: Rule | None) -> None:
        inputs = operation.inputs
        if operation.kind.startswith("_assert"):
            return
        if all(name in self.made_of for name in inputs):
            self.made_of[operation.name] = {tensor for name in inputs for tensor in self.made_of[name]}
        self.tags.start(operation)
        try:
            results = self._by_rule(operation, rule)
        except UnknownUseError:
            results = self._not_known(operation)
        self.values[operation.name] = results or [()]  # a number has no dimensions

    def _by_rule(self, operation: Operation, rule: Rule | None) -> list[Dimensions]:
        """What an operation gives, by its rule, which must give as many indices as it has."""
        if rule is None:
            raise UnknownUseError
        given = rule(self, operation)
        results = given if isinstance(given, list) else [given]
        for dimensions in results:
            check(dimensions)
        shapes = tuple(tuple(map(size, one)) for one in results)
        if shapes != operation.shapes:
            msg = f"The rule of {operation} gives shapes {shapes}; it has {operation.shapes}."
            raise ValueError(msg)
        return results

    def _not_known(self, operation: Operation) -> list[Dimensions]:
        """Nothing that it reads or gives may be exchanged."""
        reason = f"{operation}, of which it is not known what it does with single units"
        read = [dimensions for name in operation.inputs for dimensions in self.values.get(name, [])]
        if any(free_axes(dimensions) for dimensions in read):
            self.unknown.append(operation)
        for dimensions in read:
            fix_all(dimensions, reason)
        return [all_fixed(shape, reason) for shape in operation.shapes]

    def along(self, name: str, dim: int) -> dict[tuple[int, ...], Axis]:
        """The axes along a dimension of a tensor, by the rows to which they are confined; () where it is in all."""
        rows = {own: axis for (tensor, place, own), axis in self.rows.items() if (tensor, place) == (name, dim)}
        return rows or {(): self.tensors[name][dim]}

    def keep(self, argument: str, dimension: Dimension) -> None:
        """Note that a dimension of an argument goes on, for the tensors that the argument is made of."""
        for tensor in self.made_of.get(argument, ()):
            self.kept[tensor].append(dimension)

    def add_bias(self, operation: Operation, argument: str, dimension: Dimension) -> None:
        """A vector, where there is one, that has one number for each index of a dimension: a bias or a scale."""
        own = self.of(operation, argument)
        if own is not None:
            equal(dimension, own[0], str(operation))
            self.keep(operation.arguments[argument], own[0])

    def of(self, operation: Operation, argument: str) -> Dimensions | None:
        """The dimensions of an argument; None where it is left out or a number."""
        value = operation.arguments.get(argument)
        return self.values[value][0] if isinstance(value, Value) else None

    def input(self, operation: Operation) -> Dimensions:
        """The dimensions of its first argument."""
        return self.values[operation.inputs[0]][0]

    def unified(self, operation: Operation, operands: Iterable[Operand], kept: Letters) -> dict[Hashable, Dimension]:
        """Dimensions by letter, as in einsum: those of one letter are made equal, those not kept are summed over."""
        reason, found = str(operation), {}
        listed = [
            (name, given[0] if given else self.values[name][0], tuple(letters)) for name, letters, *given in operands
        ]
        for _, dimensions, letters in listed:
            names = dict(enumerate(letters))
            for letter, dimension in zip(letters, dimensions, strict=True):
                own = renamed(dimension, names, reason)
                if letter not in found or (size(found[letter]) == 1 and size(own) > 1):
                    found[letter] = own
                elif size(own) > 1:
                    equal(found[letter], own, reason)
        for letter in found:
            for gone in found:
                if gone not in kept:
                    found[letter] = merged(found[letter], gone, reason)
        for name, dimensions, letters in listed:
            for tensor in self.made_of.get(name, ()):
                for letter, dimension in zip(letters, dimensions, strict=True):
                    (self.kept if letter in kept else self.contracted)[tensor].append(dimension)
        data = [one for one in listed if one[0] not in self.made_of]
        if any(letter not in kept for letter in found):
            self.tags.product(operation, data, tuple(kept))
        else:
            self.tags.add(operation, data)
        return found

    def contract(self, operation: Operation, operands: Iterable[Operand], out: Letters) -> Dimensions:
        """What an operation gives that is a sum of products of what it reads, or anything elementwise."""
        found = self.unified(operation, operands, out)
        places = {letter: place for place, letter in enumerate(out)}
        return tuple(renamed(found[letter], places, str(operation)) for letter in out)


def broadcast(flow: Flow, operation: Operation, names: Iterable[str]) -> Dimensions:
    """What is done for each element alone, with dimensions aligned from the last."""
    count = len(operation.shape)
    operands = [(name, range(count - len(flow.values[name][0]), count)) for name in names]
    return flow.contract(operation, operands, range(count))
