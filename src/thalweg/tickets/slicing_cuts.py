"""Which entries of which tensors belong to units that go, as a mask and as a cut."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from thalweg.errors import ModelError, UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.population.structure import UnitGroup

Keep = Mapping[str, Sequence[int] | Tensor]  # by group, which units stay


@guarded
def unit_mask(problem: Problem, keep: Keep) -> Bool[Tensor, "*members parameters"]:
    """The mask that keeps some units and prunes all that belongs to the others: what writes them and what reads them.

    `sliced` with the same `keep` gives networks that compute the same as those with this mask.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> mask = tw.tickets.unit_mask(problem, {"hidden1": [0, 3, 5]})
    >>> mask.shape, int(mask.sum()) == 64 * 3 + 3 + 3 * 10 + 10
    (torch.Size([610]), True)

    Args:
        problem: whose model it is.
        keep: name of a group of the model's structure -> the units that stay: (units kept,), or one row a member; or
            booleans (units,) or (members, units). Groups that are not named stay whole.

    Raises:
        UsageError: no such group, or units that it does not have, or none that stays.
        ModelError: the model cannot be traced.
    """
    orders = kept_units(problem, keep)
    members = max((len(order) for order in orders.values()), default=1)
    gone = gone_entries(problem, orders, members)
    shapes = {entry.name: entry.shape for entry in problem.layout}
    parts = {n: ~gone[n] if n in gone else torch.ones(members, *s, dtype=torch.bool) for n, s in shapes.items()}
    mask = problem.layout.pack(parts)
    single = all(len(order) == 1 for order in orders.values())
    return mask[0] if single else mask


def kept_units(problem: Problem, keep: Keep) -> dict[str, Int64[Tensor, "members kept"]]:
    """The units that stay, ascending, of each group that is named: one row for all members, or one for each."""
    check_type("keep", keep, Mapping, "a mapping from groups to the units that stay, such as {'hidden1': [0, 3, 5]}")
    return {name: _ascending(problem.structure.group(name), units) for name, units in keep.items()}


def gone_entries(problem: Problem, orders: Mapping[str, Tensor], members: int) -> dict[str, Bool[Tensor, "..."]]:
    """For every tensor that units are in, which of its entries belong to units that go: name -> (members, ...)."""
    structure = problem.structure
    gone: dict[str, Tensor] = {}
    for name, order in orders.items():
        group = structure.group(name)
        if len(order) not in (1, members):
            msg = f"keep of {name!r} has {len(order)} rows for a population of {members}; give one row, or one each."
            raise UsageError(msg)
        removed = torch.ones(len(order), group.units, dtype=torch.bool).scatter_(1, order, value=False)
        for one in group.slices:
            own = gone.setdefault(one.tensor, torch.zeros(members, *structure.shapes[one.tensor], dtype=torch.bool))
            rows = slice(None) if one.rows is None else one.rows
            for member in range(members):
                places = one.positions[removed[member % len(removed)]].flatten()
                part = own[member][rows]
                part.index_fill_(one.dim, places, value=True)
                own[member][rows] = part
    return gone


def cut(name: str, tensor: Tensor, gone: Bool[Tensor, "..."]) -> Tensor:
    """What is left of a tensor, as a smaller one.

    Raises:
        ModelError: rows of different lengths would be left, as where two groups of a convolution lose different numbers
            of channels.
    """
    left = ~gone.to(tensor.device)
    shape = [int(left.flatten(1).any(1).sum()) if left.ndim > 1 else int(left.sum())]
    for dim in range(1, left.ndim):
        lengths = left.movedim(dim, 1).flatten(2).any(2).sum(1) if left.ndim > 2 else left.sum(1)
        shape.append(int(lengths.max()))
    flat = tensor[left]
    same = flat.numel() == torch.Size(shape).numel()
    rows = left.flatten(1).sum(1) if left.ndim > 1 else left.long()
    if not same or len(rows[rows > 0].unique()) > 1:
        msg = (
            f"{name!r} would be left with rows of different lengths {tuple(rows[rows > 0].unique().tolist())}; remove "
            "as many units of each part (groups of a convolution, heads) that one tensor holds."
        )
        raise ModelError(msg)
    return flat.view(shape).clone()


def _ascending(group: UnitGroup, units: Any) -> Int64[Tensor, "members kept"]:
    """Indices of units in rows, from indices or booleans."""
    try:
        given = torch.as_tensor(units).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"keep of {group.name!r} must be indices of units, or booleans; got {units!r}."
        raise UsageError(msg) from error
    rows = given.view(1, -1) if given.ndim == 1 else given
    if rows.ndim != 2 or (rows.is_floating_point() and rows.numel()):
        msg = f"keep of {group.name!r} must be whole numbers, (kept,) or (members, kept); got {tuple(given.shape)}."
        raise UsageError(msg)
    if rows.dtype == torch.bool:
        counts = rows.sum(1).unique()
        if rows.shape[1] != group.units or len(counts) > 1:
            msg = (
                f"keep of {group.name!r} as booleans must be ({group.units},) or (members, {group.units}), as many "
                f"units in every row; got {tuple(given.shape)} with {counts.tolist()}."
            )
            raise UsageError(msg)
        rows = rows.nonzero()[:, 1].view(len(rows), -1)
    if not rows.shape[1]:
        msg = f"{group.name!r} would become empty; keep at least one of its {group.units} units, or remove the layer."
        raise UsageError(msg)
    rows = rows.long().sort(1).values
    if int(rows.min()) < 0 or int(rows.max()) >= group.units or bool((rows.diff(dim=1) == 0).any()):
        msg = f"keep of {group.name!r} must hold units of 0 to {group.units - 1}, each once; got {given.tolist()}."
        raise UsageError(msg)
    return rows
