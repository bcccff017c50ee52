"""What is done to every element alone: activations, numbers that are multiplied or added, functions of one value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from thalweg.errors import ModelError
from thalweg.ntk.dual import Dual, dual_of, hermite
from thalweg.ntk.nodes.affine import Scaled, bias_added
from thalweg.ntk.nodes.attention import of_scores
from thalweg.ntk.nodes.branches import mixed, summed
from thalweg.ntk.nodes.builder import Builder, Rule, call
from thalweg.ntk.nodes.step import Block, Own, Pairing, Raws
from thalweg.ntk.nodes.symbols import Field, Raw, Scores, Symbol, Weight
from thalweg.population.structure.elementwise import ELEMENTWISE
from thalweg.population.structure.operation import Operation, Value, kinds, values_in

STEPS = kinds(
    "bitwise_and bitwise_not bitwise_or ceil eq floor floor_divide fmod frac ge gt heaviside isfinite isinf isnan le "
    "logical_and logical_not logical_or logical_xor lt ne remainder round sgn sign trunc"
)
TIMES = kinds("mul div true_divide multiply divide neg")


@dataclass(frozen=True, eq=False)
class Activation:
    """Khat = E phi(u) phi(v), Theta_hat = Theta E phi'(u) phi'(v)."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    dual: Dual

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        return Own(self.dual.second_moment(given[0].q), self.dual.mean(given[0].q))

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        one = blocks[0]
        left, right = at.of_left(at.left[0].q), at.of_right(at.right[0].q)
        distance, slope = self.dual.pair(left, right, one.distance)
        return Block(distance, None if one.theta is None else one.theta.mul_(slope))


@dataclass(frozen=True)
class Shifted:
    """Plus a number."""

    inputs: tuple[int, ...]
    positions: tuple[int, ...]
    number: float

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Whether it needs pairs of different positions."""
        return (full,)

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """Of every input alone."""
        mean = given[0].mean if given[0].mean is not None else given[0].q.new_zeros(())
        mean = mean.expand(given[0].q.shape)
        return Own(given[0].q + 2 * self.number * mean + self.number**2, mean + self.number)

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """Of pairs."""
        return blocks[0]


def elementwise(builder: Builder, operation: Operation) -> Symbol:
    """A function of every element; where it reads two fields, both must be functions of one Gaussian, or be added."""
    found = {name: builder.symbols[name] for name in values_in(operation.arguments) if name in builder.symbols}
    fields = {name: one for name, one in found.items() if isinstance(one, Field)}
    weights = [one for one in found.values() if isinstance(one, Weight)]
    scores = [one for one in found.values() if isinstance(one, Scores)]
    if scores and len(found) == 1:
        return of_scores(builder, operation, scores[0])
    if operation.kind in STEPS:
        raise builder.refusal(
            operation, "it is a step, whose derivative is zero or infinite", "Use a continuous activation."
        )
    if not fields and not weights:
        return builder.plain(operation)
    if not fields:
        return _of_weight(builder, operation, weights)
    if len(found) == 1:
        return _alone(builder, operation, next(iter(fields.values())))
    if len(fields) == len(found):
        first, *others = fields.values()
        if all(_alike(one, first) for one in others):
            return _composed(builder, operation, fields)
    if operation.kind in ("add", "sub") and len(found) == 2 and operation.arguments.get("alpha", 1) == 1:
        return _added(builder, operation)
    if weights:
        raise builder.refusal(
            operation,
            f"the parameter {weights[0].name!r} scales or bends values by learned numbers",
            "Declare it fixed: put its number into the code.",
        )
    raise builder.refusal(
        operation,
        "it combines values that are not functions of one Gaussian value, other than by a sum",
        "Sum branches, each behind a layer of its own.",
    )


def _alike(one: Field, other: Field) -> bool:
    """Whether two fields are functions of one Gaussian value, the same channel by channel."""
    return one.pre is not None and one.pre == other.pre and one.layout == other.layout and one.roots == other.roots


def _alone(builder: Builder, operation: Operation, value: Field) -> Field:
    """Of one field and numbers."""
    if value.parts:
        return mixed(builder, [_alone(builder, operation, part) for part in value.parts], value.layout)
    factor, term = _number(operation)
    if factor is not None and factor != 0:
        step = builder.add(Scaled((value.step,), builder.positions(value), factor))
        return replace(value, step=step, function=_behind(operation, value.function))
    if term is not None:
        step = builder.add(Shifted((value.step,), builder.positions(value), term))
        return replace(value, step=step, gaussian=False, function=_behind(operation, value.function))
    name = next(iter(values_in(operation.arguments)))
    return _composed(builder, operation, {name: value})


def _composed(builder: Builder, operation: Operation, fields: dict[Value, Field]) -> Field:
    """A function of one Gaussian value."""
    first = next(iter(fields.values()))
    if first.pre is None:
        raise builder.refusal(
            operation,
            "it bends a value that is neither Gaussian nor a function of one value that is (a sum of activations)",
            "Put a linear layer before it.",
        )
    functions = {name: one.function for name, one in fields.items()}

    def function(z: Tensor) -> Tensor:
        return call(operation, {name: z if inner is None else inner(z) for name, inner in functions.items()})

    plain = len(fields) == 1 and first.gaussian
    dual = _dual(builder, operation, function, plain=plain)
    source = first.step if plain else first.pre
    step = builder.add(Activation((source,), builder.steps[source].positions, dual))
    return replace(first, step=step, gaussian=False, function=function)


def _dual(builder: Builder, operation: Operation, function: Callable[[Tensor], Tensor], *, plain: bool) -> Dual:
    """The closed form where there is one, else a Hermite series."""
    if plain:
        numbers = {name: one for name, one in operation.arguments.items() if not values_in(one)}
        try:
            return dual_of(operation.kind, numbers)
        except ModelError:
            pass
    try:
        return hermite(function, operation.kind)
    except ModelError as error:
        raise builder.refusal(operation, str(error).rstrip("."), "Use another activation.") from error


def _behind(operation: Operation, inner: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    """The operation after a function of one element."""
    name = values_in(operation.arguments)[0]
    return lambda z: call(operation, {name: z if inner is None else inner(z)})


def _number(operation: Operation) -> tuple[float | None, float | None]:
    """The number that is multiplied, or added; None where it is neither."""
    left, right = operation.arguments.get("input"), operation.arguments.get("other")
    if operation.kind == "neg":
        return -1.0, None
    if operation.kind in TIMES and operation.arguments.get("rounding_mode") is None:
        if isinstance(right, int | float) and isinstance(left, Value):
            return (float(right) if operation.kind in ("mul", "multiply") else 1 / right if right else None), None
        return None, None
    if operation.kind in ("add", "sub", "subtract") and isinstance(right, int | float) and isinstance(left, Value):
        number = float(right) * operation.arguments.get("alpha", 1)
        return None, number if operation.kind == "add" else -number
    return None, None


def _added(builder: Builder, operation: Operation) -> Field:
    """A sum of two branches, or of a field and a bias."""
    left, right = builder.symbol(operation, "input"), builder.symbol(operation, "other")
    if isinstance(left, Weight) or isinstance(right, Weight):
        value, bias = (right, left) if isinstance(left, Weight) else (left, right)
        assert isinstance(bias, Weight)
        if isinstance(value, Field):
            return bias_added(builder, operation, value, bias)
        raise builder.refusal(operation, "a parameter is added to data", "Put a linear layer before it.")
    assert isinstance(left, Raw | Field)
    assert isinstance(right, Raw | Field)
    if operation.kind == "sub":
        raise builder.refusal(
            operation,
            "it subtracts branches",
            "Add them, as weights are symmetric about zero; of a network minus a copy of itself, pass "
            "nets.centered(network) alone, or read the network and set K to 0.",
        )
    return summed(builder, operation, left, right)


def _of_weight(builder: Builder, operation: Operation, weights: list[Weight]) -> Weight:
    """A parameter times a number."""
    factor, _ = _number(operation)
    if len(weights) == 1 and len(values_in(operation.arguments)) == 1 and factor is not None:
        return replace(weights[0], scale=weights[0].scale * factor)
    raise builder.refusal(
        operation,
        "a parameter is computed before it is used, as by weight_norm, spectral_norm or any parametrization",
        "Use a plain parameter, times a number at most.",
    )


RULES: dict[str, Rule] = dict.fromkeys((*ELEMENTWISE, *TIMES), elementwise)
