"""The permutations by which units are most similar to those of a reference, by linear assignment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from thalweg.connectivity.alignment.nests import Nest
from thalweg.errors import UsageError
from thalweg.population import UnitGroup

Orders = list[tuple[UnitGroup, NDArray[np.int64]]]
# How similar units of some groups are, of the reference and of members: (members, units, units), one group behind the
# other; with those slices alone that lie in no inner group.
Between = Callable[[Sequence[Nest], Sequence[Nest]], Tensor]


@dataclass(frozen=True, eq=False)
class Best:
    """The best permutations of the groups in a nest.

    Args:
        orders: (members, units) of each group, outer ones first; new unit k is what was unit order[k].
        value: how similar units are then: (members,).
        standing: how similar they are as they stand: (members,).
    """

    orders: Orders
    value: NDArray[np.float64]
    standing: NDArray[np.float64]


def best(nest: Nest, other: Nest, between: Between) -> Best:
    """The permutations of what lies in one nest of the members by which it is most similar to one of the reference.

    Within units of an outer group the inner ones are matched for every pair of units, and what that gives is how
    similar the two units are. For one group without inner ones that is exact (Kuhn, 1955, doi:10.1002/nav.3800020109).

    Args:
        nest: whose units are to be matched, in the reference.
        other: what takes its place, in the members; the same nest, or one that its outer group may exchange it for.
        between: how similar units of two groups are.
    """
    total = between([nest], [other]).double().cpu().numpy()
    if not nest.inner:
        return _assigned(nest.group, total)
    tables = [_table(ours, theirs, between) for ours, theirs in zip(nest.inner, other.inner, strict=True)]
    units = range(nest.group.units)
    for table in tables:
        for i in units:
            for j in units:
                total[:, i, j] += table[i][j].value
    found = _assigned(nest.group, total)
    standing = found.standing
    orders = [*found.orders]
    for table in tables:
        for i in units:
            standing = standing + table[i][i].standing - table[i][i].value
            orders += _chosen([one.orders for one in table[i]], found.orders[0][1][:, i])
    return Best(orders, found.value, standing)


def _table(ours: Sequence[Nest], theirs: Sequence[Nest], between: Between) -> list[list[Best]]:
    """The best permutations of what lies in each unit if that of each other took its place."""
    if ours[0].inner:
        return [[best(one, two, between) for two in theirs] for one in ours]
    units = ours[0].group.units
    similar = between(ours, theirs).double().cpu().numpy()
    similar = similar.reshape(len(similar), len(ours), units, len(theirs), units)
    return [[_assigned(one.group, similar[:, i, :, j]) for j in range(len(theirs))] for i, one in enumerate(ours)]


def _assigned(group: UnitGroup, similar: NDArray[np.float64]) -> Best:
    if not np.isfinite(similar).all():
        msg = (
            f"How similar the units of {group.name!r} are is no finite number: their weights or activations are too "
            "large for one. Leave out what diverged."
        )
        raise UsageError(msg)
    order = np.stack([linear_sum_assignment(one, maximize=True)[1] for one in similar])
    value = np.take_along_axis(similar, order[:, :, None], axis=2).sum((1, 2))
    return Best([(group, order)], value, np.trace(similar, axis1=1, axis2=2))


def _chosen(candidates: Sequence[Orders], which: NDArray[np.int64]) -> Orders:
    """Of what could take a unit's place, the orders of the one that does, for every member."""
    groups = [group for group, _ in candidates[0]]
    members = range(len(which))
    return [
        (group, np.stack([candidates[which[m]][number][1][m] for m in members])) for number, group in enumerate(groups)
    ]
