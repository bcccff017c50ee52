"""The program of a kernel while it is read off a trace: steps, what every value is, and refusals with the way out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError
from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.step import Step
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol
from thalweg.ntk.variances import Moments, Parameterization
from thalweg.population.structure.elementwise import APART, SOFTMAX, SUMS
from thalweg.population.structure.operation import Operation, Value, values_in
from thalweg.population.structure.tracing import Trace

MONTE_CARLO = (
    "Or estimate the kernel: the mean of ntk.empirical over problem.initialize(64) is that of 64 initializations, in "
    "evaluation mode."
)
EVALUATION = "Call module.eval(); a function that makes the module returns it so, as lambda: make().eval()."


@dataclass(frozen=True)
class Request:
    """A raw value that a step reads: examples first, then all other factors, those of some dimensions last as one."""

    raw: Raw
    contracted: tuple[int, ...]


@dataclass(eq=False)
class Builder:
    """What nodes are told and what they add to.

    Args:
        trace: of the module, on two examples.
        module: that was traced; only read.
        moments: variances of its parameters.
        reading: "ntk", "standard" or "as_initialized".
        calls: how often each parameter is read.
        steps: of the program so far.
        symbols: what the values are, by name.
        requested: raw values that steps read, by what steps call them.
        warnings: sentences about what makes the limit a poor guide to this module.
        widths: channels of every layer, by its step.
    """

    trace: Trace
    module: nn.Module
    moments: Moments
    reading: Parameterization
    calls: dict[str, int]
    steps: list[Step] = field(default_factory=list)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    requested: dict[str, Request] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    widths: dict[int, int] = field(default_factory=dict)

    def add(self, step: Step) -> int:
        """One more step; its number."""
        self.steps.append(step)
        return len(self.steps) - 1

    def positions(self, value: Field) -> tuple[int, ...]:
        """Sizes of the axes of a field's positions."""
        return self.steps[value.step].positions

    def symbol(self, operation: Operation, argument: str = "input") -> Symbol:
        """What an argument is."""
        value = operation.arguments.get(argument)
        if not isinstance(value, Value) or value not in self.symbols:
            raise self.refusal(
                operation, f"its {argument!r} is no value that is known", "Write it with a tensor there."
            )
        return self.symbols[value]

    def field(self, operation: Operation, argument: str = "input") -> Field:
        """An argument that must be a field."""
        found = self.symbol(operation, argument)
        if not isinstance(found, Field):
            raise self.refusal(
                operation,
                "it mixes data or a parameter with random values where only random values are known",
                "Put a linear layer before it.",
            )
        return found

    def plain(self, operation: Operation) -> Raw:
        """What an operation makes of data alone, where every example must stay by itself."""
        raws = [one for name in values_in(operation.arguments) if isinstance(one := self.symbols.get(name), Raw)]
        batched = [one.layout for one in raws if any(factor.kind == "batch" for factor in lay.flat(one.layout))]
        shape = operation.shape
        if not batched:
            return Raw(operation.name, lay.of(*(lay.position(axis, size) for axis, size in enumerate(shape))))
        place = self._behind(operation, batched[0])
        if place is None or len(operation.shapes) != 1:
            raise self.refusal(
                operation,
                "it mixes the examples of a batch, or what it does with them is not known",
                "Every example must be computed by itself, and the first dimension should be that of examples.",
            )
        factors = [lay.position(axis, size) for axis, size in enumerate(shape)]
        factors[place] = lay.batch(shape[place])
        return Raw(operation.name, lay.of(*factors))

    def _behind(self, operation: Operation, layout: lay.Layout) -> int | None:
        """Which dimension of the result is that of the examples; None where it is not known."""
        place = next(at for at, one in enumerate(layout) if "batch" in lay.kinds_of(one))
        if len(layout[place]) > 1:
            return None
        shape, size = operation.shape, layout[place][0].size
        named = operation.arguments.get("dim")
        dims = [named] if isinstance(named, int) else named if isinstance(named, list) else []
        dims = [one % len(layout) for one in dims]
        if operation.kind in (*SUMS, *SOFTMAX, *APART, "select") and (place in dims or not dims):
            return None
        if len(shape) == len(layout) and shape[place] == size:
            return place
        if len(shape) == len(layout) - len(dims):
            return place - sum(one < place for one in dims)
        return 0 if place == 0 and shape[:1] == (size,) else None

    def tensor(self, name: str) -> Tensor:
        """A parameter or buffer, by its first name."""
        found = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}[name]
        return found.detach()

    def requires_grad(self, name: str) -> bool:
        """Whether a parameter is trained."""
        return dict(self.module.named_parameters())[name].requires_grad

    def request(self, raw: Raw, contracted: Sequence[int] = ()) -> str:
        """A raw value that a step reads, with some dimensions last and as one; what it is called."""
        name = f"{raw.name}|{','.join(map(str, sorted(contracted)))}"
        self.requested[name] = Request(raw, tuple(sorted(contracted)))
        return name

    def once(self, operation: Operation, name: str) -> None:
        """Refuse a parameter that is read at several places."""
        if self.calls.get(name, 0) > 1:
            raise self.refusal(
                operation,
                f"the parameter {name!r} is read at {self.calls[name]} places, which then depend on each other",
                "Give every place a parameter of its own.",
            )

    def refusal(self, operation: Operation, why: str, remedy: str) -> ModelError:
        """What cannot be read, where it stands, and what can be done."""
        msg = f"The infinite limit cannot follow {operation}: {why}. {remedy} {MONTE_CARLO}"
        return ModelError(msg)


Rule = Callable[[Builder, Operation], Symbol]


def call(operation: Operation, tensors: dict[str, Any]) -> Any:
    """The torch operation itself, with tensors in the places of its values."""

    def filled(argument: Any) -> Any:
        if isinstance(argument, Value):
            return tensors[argument]
        if isinstance(argument, list | tuple):
            return [filled(part) for part in argument]
        return argument

    arguments = {name: filled(value) for name, value in operation.arguments.items()}
    if operation.kind == "getitem" and not operation.target.startswith("aten"):
        return arguments["input"][arguments["index"]]
    _, name, overload = operation.target.split(".")
    functional = name.removesuffix("_")  # what it reads stays as it is
    name = functional if hasattr(torch.ops.aten, functional) and not name.startswith("_") else name
    function = getattr(getattr(torch.ops.aten, name), overload)
    names = {argument.name for argument in function._schema.arguments}
    if "input" in arguments and "input" not in names:
        arguments["self"] = arguments.pop("input")
    return function(**arguments)
