"""Which groups of units have to stay as they are, because frozen parameters tell their units apart."""

from collections.abc import Mapping, Sequence

import torch

from thalweg.connectivity.alignment.weights import lines_of
from thalweg.errors import ModelError
from thalweg.population import Population, Slice, UnitGroup


def movable(
    groups: Sequence[UnitGroup], reference: Population, population: Population
) -> tuple[tuple[UnitGroup, ...], tuple[str, ...]]:
    """The groups that may be permuted, and a sentence that says which may not.

    Frozen parameters that a member shares with its reference, as those below a head that is trained alone, would differ
    in another order, and between networks that differ in frozen ones there are none. Those that are the same for every
    unit, such as scales of 1, would not.

    Raises:
        ModelError: there are none.
    """
    shared = {
        name: values
        for name, values in population.buffers.items()
        if name not in population.running and torch.equal(values, reference.buffers[name].expand_as(values))
    }
    held = {
        group.name: sorted({one.tensor for one in group.slices if one.tensor in shared and _tell(shared, one)})
        for group in groups
    }
    left = tuple(group for group in groups if not held[group.name])
    tensors = ", ".join(repr(name) for name in sorted({name for names in held.values() for name in names}))
    if not left:
        msg = (
            f"The units of every group are told apart by frozen parameters that networks share ({tensors}), so in "
            "any other order there is no network between them. They are aligned as they are."
        )
        raise ModelError(msg)
    names = ", ".join(repr(name) for name, by in held.items() if by)
    note = f"Units of {names} stay in their order, by which the frozen parameters {tensors} know them."
    return left, (note,) if names else ()


def _tell(shared: Mapping[str, torch.Tensor], one: Slice) -> bool:
    """Whether units have numbers of their own in a slice of a frozen parameter."""
    lines = lines_of(shared[one.tensor], one)
    return not bool((lines == lines[:, :1]).all())
