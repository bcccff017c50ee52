"""What a trace says of a model: its operations in order, and the groups of its units."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jaxtyping import Int64
from torch import Tensor, nn

from thalweg.errors import UsageError, check_type, unknown_name
from thalweg.population.permuting import permuted
from thalweg.population.population import Population
from thalweg.population.structure import elementwise, mixing, shapes
from thalweg.population.structure.axes import Axis, leaves, reasons
from thalweg.population.structure.dimensions import Dimensions, axes
from thalweg.population.structure.flow import Flow
from thalweg.population.structure.groups import UnitGroup, groups_of
from thalweg.population.structure.operation import Operation
from thalweg.population.structure.places import Place, places_of
from thalweg.population.structure.roles import Layer, Roles, carries
from thalweg.population.structure.scaling import Scaling
from thalweg.population.structure.tracing import traced

RULES = {**elementwise.RULES, **mixing.RULES, **shapes.RULES}
Dims = tuple[tuple[str, ...], ...]  # of a value, for every dimension the groups whose units lie along it


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """What a model does in evaluation mode, read from one trace of it; `Problem.structure` makes it once.

    Args:
        operations: in the order in which they are called.
        groups: units that may be exchanged, in the order of the model's tensors. Their exchanges, one after the other,
            are all that each operation allows by what it does with indices. None of them changes the function; what
            several operations together would allow is not found (two halves of a layer that are multiplied, the bias of
            keys, which softmax does not see), nor what differs from row to row of a parameter of one's own.
        inputs, outputs: names of the values that the batch holds and that the model returns.
        unknown: operations that are not known; what they read is in no group.
        fixed: why indices of a tensor's dimension may not be exchanged: (tensor, dim) -> a sentence's end.
        dims: name of a value -> for each of its dimensions, the names of the groups whose units lie along it; values
            are inputs, results of operations, and parameters and buffers by their first names.
        names: any name of a parameter or buffer -> its first name in the model, by which everything else here calls it;
            tied weights have several names.
        shapes: name of a parameter or buffer that is read -> its shape.
        axes: of every value, as they were followed: see `places`.

    >>> import thalweg as tw
    >>> structure = tw.Problem(lambda: tw.nets.mlp(64, 32, 32, 10), tw.data.digits()).structure
    >>> [(group.name, group.units) for group in structure.groups]
    [('hidden1', 32), ('hidden2', 32)]
    >>> [operation.kind for operation in structure.operations]
    ['linear', 'relu', 'linear', 'relu', 'linear']
    >>> structure.fixed["output.weight", 0]
    "the model's output"
    """

    operations: tuple[Operation, ...]
    groups: tuple[UnitGroup, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unknown: tuple[Operation, ...]
    fixed: Mapping[tuple[str, int], str]
    dims: Mapping[str, Dims]
    names: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    axes: tuple[Mapping[str, list[Dimensions]], Mapping[Axis, str]] = field(repr=False)

    @classmethod
    def of(cls, module: nn.Module, inputs: Any) -> "Structure":
        """The structure of a module that is called on these inputs; the module is only read.

        Raises:
            ModelError: the module cannot be traced; the line and the remedy are said.

        Cost: one trace on tensors without numbers, and what is read from it: for networks of `nets` 0.04 to 0.4 s
            together on one core, 1 s for a transformer of 12 blocks; and 1.3 s more for the first trace of a process.
        """
        trace = traced(module, inputs)
        flow = Flow(trace, RULES)
        convolutions = {name for one in trace.operations if one.kind in mixing.CONVOLUTIONS for name in one.parameters}
        groups = groups_of(flow, convolutions)
        names = {axis: group.name for axis, group in groups.items()}
        dims = {name: _named(found, names) for name, found in flow.values.items() if name not in flow.tensors}
        for name, of in flow.tensors.items():
            lie = [
                [g.name for g in groups.values() for s in g.slices if (s.tensor, s.dim) == (name, d)]
                for d in range(len(of))
            ]
            dims[name] = tuple(tuple(dict.fromkeys(one)) for one in lie)
        fixed = {
            (name, dim): reason
            for name, of in flow.tensors.items()
            for dim in range(len(of))
            if (reason := next((reason for axis in flow.along(name, dim).values() for reason in reasons(axis)), ""))
        }
        return cls(
            trace.operations,
            tuple(groups.values()),
            tuple(trace.inputs),
            trace.outputs,
            tuple(flow.unknown),
            fixed,
            dims,
            trace.names,
            trace.tensors,
            (flow.values, names),
        )

    def __repr__(self) -> str:
        return f"Structure({len(self.operations)} operations, {len(self.groups)} groups of units)"

    def group(self, name: str) -> UnitGroup:
        """The group of that name.

        Raises:
            UsageError: there is none.
        """
        found = {group.name: group for group in self.groups}
        if name not in found:
            raise unknown_name("group", name, found)
        return found[name]

    def uses(self, name: str) -> tuple[Operation, ...]:
        """Every operation that reads a parameter or buffer, under any of its names: tied weights have several uses."""
        if name not in self.names:
            raise unknown_name("tensor", name, self.names)
        return tuple(one for one in self.operations for read in one.inputs if read == self.names[name])

    def producer(self, value: str) -> Operation | None:
        """The operation that gives a value; None of inputs, parameters and buffers."""
        return self._by_name.get(value)

    def consumers(self, value: str) -> tuple[Operation, ...]:
        """The operations that read a value."""
        return tuple(one for one in self.operations if value in one.inputs)

    def places(self, value: str) -> tuple[Place, ...]:
        """Where units lie in a value that is one tensor: along which dimension, and which of its indices.

        >>> import thalweg as tw
        >>> structure = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits()).structure
        >>> [(one.group, one.dim, tuple(one.positions.shape)) for one in structure.places("relu")]
        [('hidden1', 1, (32, 1))]
        """
        followed, names = self.axes
        of = followed.get(value, [])
        return places_of(of[0], names) if len(of) == 1 else ()

    def carriers(self, group: str | UnitGroup) -> tuple[Operation, ...]:
        """The operations that give values along which the units of a group lie, in order: from writers to readers."""
        group = self._of(group)
        return tuple(one for one in self.operations if carries(self.dims, one.name, group))

    def writers(self, group: str | UnitGroup) -> tuple[Operation, ...]:
        """The operations that make the units of a group of weights in `group.written`, in order.

        What passes on units that are there already, as a bias that is added or normalization, is none of them; a layer
        that reads the units and makes new ones, as in a residual stream, is one, and a reader as well.

        >>> import thalweg as tw
        >>> structure = tw.Problem(lambda: tw.nets.mlp(64, 32, 32, 10), tw.data.digits()).structure
        >>> [one.module for one in structure.writers("hidden1")], [one.module for one in structure.readers("hidden1")]
        (['hidden1'], ['hidden2'])
        """
        group = self._of(group)
        return tuple(one for one in self.operations if self._roles.writes(one, group))

    def readers(self, group: str | UnitGroup) -> tuple[Operation, ...]:
        """The operations that sum over the units of a group, with weights in `group.read` or without, in order.

        Those without weights are sums, means, and products of units with others (queries with keys).
        """
        group = self._of(group)
        return tuple(one for one in self.operations if self._roles.reads(one, group))

    def permuted(
        self, population: Population, group: str | UnitGroup, permutation: Int64[Tensor, "*members units"]
    ) -> Population:
        """The same functions with the units of a group in another order; theta, mask and buffers move along.

        New unit k is what was unit `permutation[k]`.

        >>> import torch
        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 4, 10), tw.data.digits(), dtype=torch.float64)
        >>> population = problem.initialize(2)
        >>> other = problem.structure.permuted(population, "hidden1", torch.tensor([2, 0, 1, 3]))
        >>> a, b = (tw.evaluate(problem, one)["loss"] for one in (population, other))
        >>> bool((a - b).abs().max() < 1e-12), bool((other.theta == population.theta).all())
        (True, False)

        Args:
            population: of this model; only read.
            group: one of `groups`, or its name.
            permutation: one for all members, or one for each: (units,) or (members, units).

        Raises:
            UsageError: another model, no such group, or no permutation of its units.

        Cost: a copy of theta, and of the buffers that change.
        """
        return permuted(population, self._of(group), permutation, self.shapes)

    def powers(
        self, group: str | UnitGroup, weights: Collection[str], *, absorbed: bool = False
    ) -> Mapping[tuple[str, int], int]:
        """What must be times which power of factors on a group's units, for weights that are to write them times these.

        >>> import thalweg as tw
        >>> structure = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits()).structure
        >>> structure.powers("hidden1", ["hidden1.weight"])
        {('hidden1.weight', 0): 1, ('hidden1.bias', 0): 1, ('output.weight', 1): -1}

        Args:
            group: one of `groups`, or its name.
            weights: names of tensors.
            absorbed: whether batch normalization may divide by the factors again, which it does up to its eps; its
                running statistics are then among what is scaled.

        Returns:
            (tensor, dim) -> power.

        Raises:
            UsageError: the function would change; the first operation in which it would is named.
        """
        return Scaling(self.operations, self.dims, self.names, self._of(group), weights, absorbed=absorbed).powers

    def obstacle(self, group: str | UnitGroup) -> str:
        """Why the units of a group are not positively homogeneous; "" where they are.

        They are where all that writes a unit may be times c > 0, and the weights that read it divided by c.

        >>> import thalweg as tw
        >>> model = lambda: tw.nets.mlp(64, 32, 10, activation="tanh")
        >>> tw.Problem(model, tw.data.digits()).structure.obstacle("hidden1")  # doctest: +ELLIPSIS
        "Factors on the units of 'hidden1' would change the function: 'tanh' in 'activation1' ... of them alone."
        """
        group = self._of(group)
        layers = [Layer.of(one, self.dims) for one in self.writers(group)]
        made = {layer.weight for layer in layers if layer is not None}
        weights = list(dict.fromkeys(one.tensor for one in group.written if one.tensor in made))
        try:
            self.powers(group, weights)
        except UsageError as error:
            return str(error)
        return "" if weights else f"No weights that can be scaled write the units of {group.name!r}."

    @cached_property
    def _by_name(self) -> dict[str, Operation]:
        return {one.name: one for one in self.operations}

    @cached_property
    def _roles(self) -> Roles:
        return Roles(self.operations, self.dims, self.inputs, self.shapes)

    def _of(self, group: str | UnitGroup) -> UnitGroup:
        check_type("group", group, (str, UnitGroup), "a group of the structure or its name")
        return self.group(group) if isinstance(group, str) else group


def _named(found: list[Dimensions], names: Mapping[Axis, str]) -> Dims:
    """The groups along the dimensions of a value; of several tensors together."""
    return tuple(
        tuple(
            dict.fromkeys(names[leaf] for one in along for axis in axes(one) for leaf in leaves(axis) if leaf in names)
        )
        for along in zip(*found, strict=False)
    )
