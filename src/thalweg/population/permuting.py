"""Tensors of a population changed where the units of a group are; units in another order."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.population.population import Population
from thalweg.population.structure.groups import Slice, UnitGroup


def permuted(
    population: Population, group: UnitGroup, permutation: Any, shapes: Mapping[str, tuple[int, ...]]
) -> Population:
    """The units of a group in another order, in theta, mask and buffers; see `Structure.permuted`.

    Args:
        population: only read.
        group: of the structure of its model.
        permutation: (units,) or (members, units).
        shapes: of the parameters and buffers of that model, by name.
    """
    _check_model(population, group, shapes)
    order = _permutation(permutation, group, len(population)).to(population.theta.device)
    other, tensors = copied(population, group)
    mask = None if population.mask is None else population.mask.clone()
    for own in (tensors, {} if mask is None else population.layout.views(mask)):
        for one in group.slices:
            if one.tensor in own:
                change(own[one.tensor], one, partial(moved, one=one, order=order))
    return replace(other, mask=mask)


def copied(population: Population, group: UnitGroup) -> tuple[Population, dict[str, Tensor]]:
    """The population with copies of theta and of buffers that units are in, and its tensors (members, ...) by name."""
    theta = population.theta.clone()
    buffers = {name: one.clone() if name in group.tensors else one for name, one in population.buffers.items()}
    return replace(population, theta=theta, buffers=buffers), {**buffers, **population.layout.views(theta)}


def change(tensor: Tensor, one: Slice, function: Callable[[Tensor], Tensor]) -> None:
    """Write a function of a tensor (members, ...) in its place, in the rows that a slice is confined to."""
    rows = slice(None) if one.rows is None else one.rows.to(tensor.device)
    tensor[:, rows] = function(tensor[:, rows])


def laid(one: Slice, tensor: Tensor, others: Tensor, values: Tensor) -> Tensor:
    """Numbers for every index along the dimension of a slice, broadcast against the tensor.

    Args:
        one: which indices belong to units.
        tensor: (members, ...).
        others: (size of the dimension,): those of indices that belong to none.
        values: (members, units x width): those of each unit's indices, unit after unit.
    """
    along = others.repeat(len(values), 1)
    along[:, one.positions.flatten().to(along.device)] = values
    return along.view(len(values), *(along.shape[1] if dim == one.dim else 1 for dim in range(tensor.ndim - 1)))


def width(one: Slice) -> int:
    """How many indices a unit has in a slice."""
    return one.positions.shape[1]


def moved(tensor: Tensor, one: Slice, order: Int64[Tensor, "members units"]) -> Tensor:
    """A tensor (members, ...) with the indices of units in another order."""
    positions = one.positions.to(tensor.device)
    indices = torch.arange(tensor.shape[1 + one.dim], device=tensor.device)
    return tensor.gather(1 + one.dim, laid(one, tensor, indices, positions[order].flatten(1)).expand_as(tensor))


def _check_model(population: Population, group: UnitGroup, shapes: Mapping[str, tuple[int, ...]]) -> None:
    known = {entry.name: tuple(entry.shape) for entry in population.layout}
    known |= {name: tuple(buffer.shape[1:]) for name, buffer in population.buffers.items()}
    for name in group.tensors:
        if name not in known:
            msg = f"The population is of another model, as it has no {name!r} to permute."
            raise UsageError(msg)
    for name, shape in shapes.items():
        if known.get(name, shape) != shape:
            msg = f"The population is of another model, as its {name!r} is {known[name]} and not {shape}."
            raise UsageError(msg)


def _permutation(permutation: Any, group: UnitGroup, members: int) -> Int64[Tensor, "members units"]:
    check_type("permutation", permutation, Tensor, "a tensor (units,) or (members, units) of integers")
    if tuple(permutation.shape) not in ((group.units,), (1, group.units), (members, group.units)):
        msg = (
            f"A permutation of {group.name!r} must be ({group.units},) or ({members}, {group.units}); got "
            f"{tuple(permutation.shape)}."
        )
        raise UsageError(msg)
    order = permutation.expand(members, group.units)
    if order.is_floating_point() or not (order.sort(-1).values.cpu() == torch.arange(group.units)).all():
        msg = f"A permutation of {group.name!r} must hold each of 0 to {group.units - 1} once for every member."
        raise UsageError(msg)
    return order.long()
