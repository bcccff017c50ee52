"""Which units of a model may be exchanged: as its structure says, or written by hand; and what speaks against it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import ModelError, UsageError, check_type, unknown_name
from thalweg.population import Population, Problem, Slice, UnitGroup

ByHand = Mapping[str, Sequence[tuple[str, int] | tuple[str, int, int]]]
_WRITE = 'groups={"hidden": [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)]}'


def groups_of(problem: Problem, groups: ByHand | Sequence[UnitGroup] | None) -> tuple[UnitGroup, ...]:
    """The groups of a problem's model, or those given.

    Raises:
        ModelError: the model cannot be traced, or has no units that may be exchanged; the remedy is said.
        UsageError: groups that do not fit the model.
    """
    if groups is None:
        return _traced(problem)
    check_type("align groups", groups, (Mapping, Sequence), f"UnitGroups, or {_WRITE[7:]}")
    if isinstance(groups, Mapping):
        found = tuple(_by_hand(problem, name, given) for name, given in groups.items())
    else:
        found = tuple(groups)
        for group in found:
            check_type("align groups", group, UnitGroup, f"a list of UnitGroups, or {_WRITE[7:]}")
            for name in group.tensors:
                if name not in _known(problem):
                    raise unknown_name("tensor", name, _known(problem))
    if not found:
        msg = f"align needs at least one group of units; got none. Leave groups out, or write {_WRITE}."
        raise UsageError(msg)
    return found


def _traced(problem: Problem) -> tuple[UnitGroup, ...]:
    by_hand = (
        f"Write by hand which indices of which tensors belong to the same units, such as align(..., {_WRITE}): "
        "each (name of a tensor, dimension) along which the units of a group lie."
    )
    try:
        structure = problem.structure
    except ModelError as error:
        msg = f"{error} To align it, {by_hand[0].lower()}{by_hand[1:]}"
        raise ModelError(msg) from error
    if structure.groups:
        return structure.groups
    if not structure.unknown and all(reason.startswith("the model's") for reason in structure.fixed.values()):
        msg = "No layer between the model's input and its output has several units, so there is nothing to align."
        raise ModelError(msg)
    why = [f"It is not known what {one} does with single units" for one in structure.unknown]
    why += [f"Indices of {name!r} cannot be exchanged: {reason}" for (name, _), reason in structure.fixed.items()]
    msg = "The model has no units that are known to be exchangeable, so there is nothing to align. "
    msg += "".join(f"{one}. " for one in why[:1]) + by_hand
    raise ModelError(msg)


def _by_hand(problem: Problem, name: str, given: Any) -> UnitGroup:
    shapes = _known(problem)
    sizes = []
    for one in given:
        kinds = [type(part) for part in one] if isinstance(one, tuple) else []
        if kinds not in ([str, int], [str, int, int]):
            msg = (
                "A group of units is a list of (name of a tensor, dimension) such as ('fc1.weight', 0), or of (name, "
                f"dimension, parts) such as ('lstm.weight_ih_l0', 0, 4); got {one!r}."
            )
            raise UsageError(msg)
        tensor, dim, parts = (*one, 0)[:3]
        if tensor not in shapes:
            raise unknown_name("tensor", tensor, shapes)
        if not 0 <= dim < len(shapes[tensor]):
            msg = f"{tensor!r} has dimensions 0 to {len(shapes[tensor]) - 1}; got {dim} in the group {name!r}."
            raise UsageError(msg)
        size = shapes[tensor][dim]
        if len(one) == 3 and (parts < 1 or size % parts):
            msg = f"{tensor!r} has {size} indices along dimension {dim}, which are no {parts} equal parts."
            raise UsageError(msg)
        sizes.append((tensor, dim, size, parts))
    if not sizes:
        msg = (
            f"The group {name!r} needs at least one (name of a tensor, dimension), such as ('fc1.weight', 0); got none."
        )
        raise UsageError(msg)
    units = min(size // max(parts, 1) for _, _, size, parts in sizes)
    for tensor, dim, size, parts in sizes:
        if size % units or parts not in (0, size // units):
            msg = (
                f"The group {name!r} has {units} units by its smallest tensor, but {tensor!r} has {size} indices along "
                f"dimension {dim}{f' in {parts} parts' * bool(parts)}, which is no multiple."
            )
            raise UsageError(msg)
    slices = tuple(
        Slice(tensor, dim, torch.arange(size).view(parts, units).T if parts else torch.arange(size).view(units, -1))
        for tensor, dim, size, parts in sizes
    )
    written, read = (tuple(one for one in slices if (one.dim == 0) == side) for side in (True, False))
    return UnitGroup(name, "units", units, written, read, slices)


def _known(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters and buffers by their first names."""
    tensors = (*problem.template.named_parameters(), *problem.template.named_buffers())
    return {name: tuple(tensor.shape) for name, tensor in tensors}


def check_start(groups: Sequence[UnitGroup], start: Mapping[str, Tensor] | None, members: int) -> None:
    """Raise UsageError unless permutations from which to go on are one of every group for every member."""
    if start is None:
        return
    check_type("align start", start, Mapping, "permutations by the name of a group, such as found.permutations")
    for group in groups:
        order = start.get(group.name)
        fitting = isinstance(order, Tensor) and tuple(order.shape) == (members, group.units)
        if not fitting or not bool((order.sort(-1).values == torch.arange(group.units)).all()):
            got = "none" if order is None else tuple(order.shape) if isinstance(order, Tensor) else type(order).__name__
            msg = (
                f"align start needs a permutation ({members}, {group.units}) of the units of {group.name!r}; got {got}."
            )
            raise UsageError(msg)


def check_same_architecture(problem: Problem, reference: Population, population: Population) -> None:
    """Raise UsageError that lists every difference, unless both are of the problem's model."""
    expected = _shapes(problem.initialize(1))
    for what, one in (("reference", reference), ("population", population)):
        got = _shapes(one)
        faults = [f"it has no {name!r} {shape}" for name, shape in expected.items() if name not in got]
        faults += [f"it has {name!r} {shape} as well" for name, shape in got.items() if name not in expected]
        faults += [
            f"{name!r} is {got[name]} and not {shape}"
            for name, shape in expected.items()
            if name in got and got[name] != shape
        ]
        if faults:
            msg = f"align needs networks of the problem's architecture, but of the {what} {'; '.join(faults)}."
            raise UsageError(msg)
        problem.check(one)


def check_finite(what: str, population: Population) -> None:
    """Raise UsageError unless the parameters of all members are; `what` is what the population is for."""
    lost = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        msg = f"Units that are not finite cannot be matched; member {lost[0]} of the {what} has such parameters."
        raise UsageError(msg)


def _shapes(population: Population) -> dict[str, tuple[int, ...]]:
    shapes = {entry.name: tuple(entry.shape) for entry in population.layout}
    return shapes | {name: tuple(one.shape[1:]) for name, one in population.buffers.items()}
