"""Where factors on the units of a group go, and what in a model's function they would change."""

from collections.abc import Collection, Iterable, Mapping

from thalweg.errors import UsageError
from thalweg.population.structure.groups import UnitGroup
from thalweg.population.structure.mixing import CONVOLUTIONS
from thalweg.population.structure.operation import Operation, Value, kinds
from thalweg.population.structure.shapes import ORDERS, POOLS, SPLITS, VIEWS

PARTS = {*SPLITS, "getitem", "index", "index_select", "narrow", "select", "slice", "unbind"}
# f(c x) = c f(x) for c > 0 in each unit alone
HOMOGENEOUS = {*PARTS, *VIEWS, *ORDERS, *(pool for pool in POOLS if "lp_pool" not in pool)} | set(
    kinds(
        "abs alias amax amin cat clone contiguous detach dropout expand expand_as feature_dropout flip leaky_relu "
        "lift_fresh_copy mean neg pixel_shuffle prelu relu repeat repeat_interleave rrelu stack sum to _to_copy"
    )
)
OUT_AND_IN = {"linear": (0, 1), "embedding": (1, 0)} | {
    kind: (1, 0) if "transpose" in kind else (0, 1) for kind in CONVOLUTIONS
}
PRODUCTS = ("addmm", "baddbmm", "bmm", "matmul", "mm")


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
        operations: Iterable[Operation],
        dims: Mapping[str, tuple[tuple[str, ...], ...]],
        names: Collection[str],
        group: UnitGroup,
        weights: Collection[str],
        *,
        absorbed: bool = False,
    ) -> None:
        self.dims, self.names, self.group, self.weights, self.absorbed = dims, names, group, weights, absorbed
        self.needed: dict[tuple[str, int], int] = {}
        self.scaled: set[str] = set()  # values whose units are times the factors
        for operation in operations:
            self._follow(operation)
        self.powers = {key: power for key, power in self.needed.items() if power}

    def _follow(self, operation: Operation) -> None:
        read = [name for name in operation.inputs if name in self.scaled]
        weight = weight_of(operation)
        if weight in self.names:
            self._layer(operation, str(weight))
        elif any(name in self.weights for name in operation.parameters):
            self._stop(operation, "reads these weights in a way that is not known to scale")
        elif not read:
            self._need_all(operation, operation.parameters, 0)
        elif operation.kind in ("add", "sub"):
            self._added(operation, read)
        elif operation.kind == "batch_norm" and self.absorbed and read == list(operation.inputs[:1]):
            for name, power in {"weight": 0, "bias": 0, "running_mean": 1, "running_var": 2}.items():
                self._need_all(operation, [operation.arguments.get(name)], power)
        elif self._passes(operation, read):
            self._need_all(operation, operation.parameters, 0)
            self.scaled |= {operation.name} if self._carried(operation.name) else set()
        else:
            self._stop(operation, "is not positively homogeneous in each of them alone")

    def _layer(self, operation: Operation, weight: str) -> None:
        """What has weights: it may write units, read them, or keep them apart from each other."""
        last = len(self.dims[weight]) - 1
        out, inner = OUT_AND_IN.get(operation.kind, (last, last - 1))
        data = operation.arguments.get("input" if operation.kind in OUT_AND_IN else "mat1", operation.inputs[0])
        bias = operation.arguments.get("bias", operation.inputs[0] if len(operation.inputs) > 2 else None)
        inside, outside = (self.group.name in self.dims[weight][dim] for dim in (inner, out))
        reads = data in self.scaled
        writes, passes = outside and weight in self.weights, reads and not inside
        if writes and passes:
            self._stop(operation, "both reads and makes them in the same place")
        if inside:
            self._need(operation, weight, inner, -1 if reads else 0)
        if outside:
            self._need(operation, weight, out, int(writes))
        if passes and not self._carried(operation.name):
            self._stop(operation, "sums over them")
        if isinstance(bias, Value) and bias not in self.names and (writes or passes or bias in self.scaled):
            self._stop(operation, "adds to them what is not times the factors")
        if isinstance(bias, Value) and (writes or passes) and not self._carried(bias):
            self._stop(operation, "adds one bias to several of them")
        self._need_all(operation, [bias], int(writes or passes))
        if writes or passes:
            self.scaled.add(operation.name)

    def _added(self, operation: Operation, read: list[str]) -> None:
        """A sum, of what is times the factors and biases that can be."""
        others = [name for name in operation.inputs if name not in read]
        fitting = all(name in self.names and self._carried(name) for name in others)
        if len(operation.inputs) < 2 or not fitting:
            self._stop(operation, "adds to them what is not times the factors (a residual branch, say)")
        self._need_all(operation, others, 1)
        self.scaled.add(operation.name)

    def _passes(self, operation: Operation, read: list[str]) -> bool:
        """Whether all that it gives of these units is times the factors."""
        kind, arguments, first = operation.kind, operation.arguments, operation.inputs[0]
        others = [name for name in operation.inputs if name not in read and self._carried(name)]
        if not self._carried(operation.name):
            return kind in PARTS  # those of other units
        if kind in HOMOGENEOUS:
            return all(name in self.names for name in others)
        if kind in ("mul", "div", "masked_fill"):
            zero = kind != "masked_fill" or arguments.get("value") == 0
            return len(read) == 1 and zero and (kind == "mul" or read[0] == first)
        if kind in ("clamp_min", "clamp"):
            return arguments.get("min") == 0 and arguments.get("max") is None
        if kind == "scaled_dot_product_attention":
            return read == [arguments["value"]]  # linear in the values
        return kind in (*PRODUCTS, "einsum") and len(read) == 1 and not others

    def _need(self, operation: Operation, tensor: str, dim: int, power: int) -> None:
        if self.needed.setdefault((tensor, dim), power) != power:
            self._stop(operation, f"reads {tensor!r}, which another operation needs scaled otherwise")

    def _need_all(self, operation: Operation, tensors: Iterable[object], power: int) -> None:
        """The dimensions of tensors along which units lie must be times a power of the factors."""
        for tensor in tensors:
            if isinstance(tensor, str) and tensor in self.names:
                for dim, groups in enumerate(self.dims[tensor]):
                    if self.group.name in groups:
                        self._need(operation, tensor, dim, power)

    def _carried(self, value: str) -> bool:
        return any(self.group.name in groups for groups in self.dims.get(value, ()))

    def _stop(self, operation: Operation, why: str) -> None:
        msg = f"Factors on the units of {self.group.name!r} would change the function: {operation} {why}."
        raise UsageError(msg)


def weight_of(operation: Operation) -> str | None:
    """What an operation multiplies by and sums over, if it is one that does: a tensor's name or another value's."""
    if operation.kind in OUT_AND_IN:
        return operation.arguments["weight"]
    return operation.inputs[-1] if operation.kind in PRODUCTS else None
