"""Where factors on the units of a group go, and what in a model's function they would change."""

from collections.abc import Collection, Iterable, Mapping

import torch

from thalweg.errors import UsageError
from thalweg.population.structure import mixing
from thalweg.population.structure.aliases import overwritten
from thalweg.population.structure.elementwise import SOFTMAX
from thalweg.population.structure.groups import UnitGroup
from thalweg.population.structure.operation import Operation, Value, kinds
from thalweg.population.structure.roles import PARTS, PRODUCTS, Dims, Layer, carries, data_of
from thalweg.population.structure.shapes import ORDERS, POOLS, UPSAMPLES, VIEWS

# f(c x) = c f(x) for c > 0 in each unit of the first argument alone
HOMOGENEOUS = {*PARTS, *VIEWS, *ORDERS, *UPSAMPLES, *(pool for pool in POOLS if "lp_pool" not in pool)} | set(
    kinds(
        "abs alias amax amin clone contiguous detach dropout expand expand_as feature_dropout flip leaky_relu "
        "lift_fresh_copy mean neg pixel_shuffle prelu relu repeat repeat_interleave rrelu sum to _to_copy"
    )
)
SEEN = {*PARTS, *VIEWS, *ORDERS} | set(  # a parameter otherwise laid out, with factors if the parameter has them
    kinds("alias broadcast_to clone contiguous detach expand expand_as repeat")
)
JOINS = kinds("cat concat concatenate stack")
EXTREMES = kinds("fmax fmin max maximum min minimum")
OTHERWISE = {*SOFTMAX} | set(  # known not to be
    kinds(
        "acos asin atan batch_norm ceil celu cos cosh elu erf erfc exp exp2 expm1 floor gelu glu group_norm hardshrink "
        "hardsigmoid hardswish hardtanh instance_norm layer_norm log log10 log1p log2 log_sigmoid logit logsumexp mish "
        "pow reciprocal relu6 rms_norm round rsqrt scaled_dot_product_attention selu sgn sigmoid sign silu sin sinh "
        "softplus softshrink softsign sqrt square tan tanh tanhshrink trunc var"
    )
)


class Scaling:
    """Factors on what some weights write of a group's units, followed to all that must have them or their inverse.

    Args:
        operations, dims, names: of a `Structure`.
        group: the units.
        weights: tensors of which the part that writes units is times the factors.
        absorbed: whether batch normalization may divide by the factors again; its running statistics follow.

    Attributes:
        powers: (tensor, dimension) -> the power of the factors that it must be times.

    Raises:
        UsageError: the function would change; the first operation in which it would is named.
    """

    def __init__(
        self,
        operations: Collection[Operation],
        dims: Dims,
        names: Collection[str],
        group: UnitGroup,
        weights: Collection[str],
        *,
        absorbed: bool = False,
    ) -> None:
        self.dims, self.names, self.group, self.weights, self.absorbed = dims, names, group, weights, absorbed
        self.needed: dict[tuple[str, int], int] = {}
        self.scaled: set[str] = set()  # values whose units are times the factors
        self.seen: dict[str, str] = {}  # values that are a parameter otherwise laid out
        self.overwritten: Mapping[str, tuple[Operation, frozenset[str]]] = overwritten(operations)
        for operation in operations:
            self._follow(operation)
        self.powers = {key: power for key, power in self.needed.items() if power}

    def _follow(self, operation: Operation) -> None:
        if operation.kind.startswith("_assert"):
            return
        self._check_memory(operation)
        data, layer = data_of(operation), Layer.of(operation, self.dims)
        read = [name for name in data if name in self.scaled]
        parameters = [name for name in data if self._tensor(name) in self.names]
        if layer is not None:
            self._layer(operation, layer)
        elif any(name in self.weights for name in parameters):
            self._stop(operation, "reads these weights in a way that is not known to scale")
        elif operation.kind in SEEN and self._tensor(data[0]) in self.names:
            self.seen[operation.name] = self._tensor(data[0])
        elif not read:
            self._need_all(operation, parameters, 0)
        elif operation.kind in ("add", "sub"):
            self._added(operation, read)
        elif operation.kind in JOINS and self._carried(operation.name):
            self._joined(operation, read)
        elif operation.kind == "batch_norm" and self.absorbed and read == list(operation.inputs[:1]):
            for name, power in {"weight": 0, "bias": 0, "running_mean": 1, "running_var": 2}.items():
                self._need_all(operation, [operation.arguments.get(name)], power)
        elif why := self._differs(operation, read):
            self._stop(operation, why)
        else:
            self._need_all(operation, parameters, 0)
            self.scaled |= {operation.name} if self._carried(operation.name) else set()

    def _check_memory(self, operation: Operation) -> None:
        """Stop where it reads what something else wrote into, if the factors have a part in that."""
        if operation.name in self.overwritten:
            write, same = self.overwritten[operation.name]
            if not self.scaled.isdisjoint((*write.inputs, *same)):
                self._stop(write, "writes in place into a view of another value, which is read afterwards")

    def _layer(self, operation: Operation, layer: Layer) -> None:
        """What has weights: it may write units, read them, or keep them apart from each other."""
        weight, bias, along = layer.weight, layer.bias, self._along(layer.weight)
        reads, inside, outside = layer.data in self.scaled, layer.inner in along, layer.out in along
        writes, passes = outside and weight in self.weights, reads and not inside
        if writes and passes:
            self._stop(operation, "both reads and makes them in the same place")
        if layer.data in self.weights:
            self._stop(operation, "reads these weights in a way that is not known to scale")
        self._need_all(operation, [layer.data], 0)
        for dim in along:
            power = -1 if dim == layer.inner and reads else int(dim == layer.out and writes)
            self._need(operation, weight, dim, power)
        if passes and not self._carried(operation.name):
            self._stop(operation, "sums over them")
        if isinstance(bias, Value) and (writes or passes or bias in self.scaled):
            if self._tensor(bias) not in self.names:
                self._stop(operation, "adds to them what is not times the factors")
            if not self._carried(bias):
                self._stop(operation, "adds one bias to several of them")
        self._need_all(operation, [bias], int(writes or passes))
        if writes or passes:
            self.scaled.add(operation.name)

    def _added(self, operation: Operation, read: list[str]) -> None:
        """A sum, of what is times the factors and biases that can be."""
        others = [name for name in operation.inputs if name not in read]
        fitting = all(self._tensor(name) in self.names and self._carried(name) for name in others)
        if len(operation.inputs) < 2 or not fitting:
            self._stop(operation, "adds to them what is not times the factors (a residual branch, say)")
        self._need_all(operation, others, 1)
        self.scaled.add(operation.name)

    def _joined(self, operation: Operation, read: list[str]) -> None:
        """Beside each other: what is times the factors, parameters that can be, and other units."""
        others = [name for name in operation.inputs if name not in read and self._carried(name)]
        if not all(self._tensor(name) in self.names for name in others):
            self._stop(operation, "puts them beside what is not times the factors")
        self._need_all(operation, others, 1)
        self.scaled.add(operation.name)

    def _differs(self, operation: Operation, read: list[str]) -> str:
        """Why what it gives of these units is not times the factors; "" where all of it is."""
        kind, arguments, first = operation.kind, operation.arguments, operation.inputs[0]
        others = [name for name in data_of(operation) if name not in read and self._carried(name)]
        not_so, unknown = "is not positively homogeneous in each of them alone", "is not known to be positively "
        if not self._carried(operation.name):
            if kind in PARTS:  # those of other units
                return ""
            if kind in OTHERWISE:
                return not_so
            return "sums over them" if kind in (*mixing.RULES, "mean", "sum") else "takes several of them together"
        if kind == "scaled_dot_product_attention" and read == [arguments["value"]]:
            return ""  # linear in the values
        if kind in ("mul", "div", *PRODUCTS, "einsum"):
            if len(read) > 1 and kind != "div":
                return "multiplies them with each other"
            if kind == "div" and read != [first]:
                return "divides by them"
            if arguments.get("rounding_mode") is not None:
                return not_so
            return "" if kind in ("mul", "div") or not others else f"{unknown}homogeneous in each of them alone"
        if kind in EXTREMES and "other" in arguments:
            return "" if len(read) == len(operation.inputs) else "compares them with what is not times the factors"
        fills = {"masked_fill": arguments.get("value"), "pad": arguments.get("value"), "constant_pad_nd": 0}
        if kind in ("clamp_min", "clamp"):
            passing = arguments.get("min") == 0 and arguments.get("max") is None
        elif kind in fills:
            filled = arguments.get("mode", "constant") == "constant"
            fill = arguments.get("value", fills[kind])
            passing = read == [first] and (not filled or fill == 0 or (fill is None and kind != "masked_fill"))
        elif kind in OTHERWISE or not _floating(arguments.get("dtype")):
            passing = False
        else:
            known = kind in HOMOGENEOUS and first in read
            fitting = known and all(self._tensor(name) in self.names for name in others)  # as the slopes of `prelu`
            return "" if fitting else f"{unknown}homogeneous in each of them alone"
        return "" if passing else not_so

    def _tensor(self, value: str) -> str:
        """The parameter that a value is, otherwise laid out; or the value."""
        return self.seen.get(value, value)

    def _along(self, tensor: str) -> list[int]:
        """The dimensions of a tensor along which units lie."""
        return [dim for dim, groups in enumerate(self.dims[tensor]) if self.group.name in groups]

    def _need(self, operation: Operation, tensor: str, dim: int, power: int) -> None:
        if self.needed.setdefault((tensor, dim), power) != power:
            self._stop(operation, f"reads {tensor!r}, which another operation needs scaled otherwise")

    def _need_all(self, operation: Operation, tensors: Iterable[object], power: int) -> None:
        """The dimensions of tensors along which units lie must be times a power of the factors."""
        for tensor in tensors:
            name = self._tensor(tensor) if isinstance(tensor, Value) else ""
            for dim in self._along(name) if name in self.names else ():
                self._need(operation, name, dim, power)

    def _carried(self, value: str) -> bool:
        return carries(self.dims, value, self.group)

    def _stop(self, operation: Operation, why: str) -> None:
        msg = f"Factors on the units of {self.group.name!r} would change the function: {operation} {why}."
        raise UsageError(msg)


def _floating(dtype: object) -> bool:
    """Whether an argument `dtype` is left out or one of real numbers that are not rounded to integers."""
    return not isinstance(dtype, torch.dtype) or dtype.is_floating_point
