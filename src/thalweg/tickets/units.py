"""Whole units, channels or heads, with everything that belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.population import Entry, Problem, Slice
from thalweg.tickets.allocation import Allocation
from thalweg.tickets.division import Division
from thalweg.tickets.policy import Policy


@dataclass(frozen=True)
class Units(Allocation):
    """Units are kept or pruned whole: what writes one, its bias, scale and shift, and the weights that read it.

    Every group of units that the model's structure has is a pool. Nothing reads a pruned unit, so the masked network is
    one of fewer units. The score of a unit is the sum over what writes it.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), 0.25, allocation=tw.tickets.Units())
    >>> views = problem.layout.views(mask)
    >>> [int(views[name].sum()) for name in ("hidden1.weight", "hidden1.bias", "output.weight", "output.bias")]
    [512, 8, 80, 10]

    Args:
        kinds: of the groups (see `population.UnitGroup`): units and channels by default; ("heads",) for attention.
    """

    kinds: tuple[str, ...] = ("units", "channels")

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", (self.kinds,) if isinstance(self.kinds, str) else tuple(self.kinds))

    def division(self, problem: Problem, policy: Policy) -> Division:
        """A pool for every group of units that a prunable tensor writes.

        Raises:
            ModelError: a model that cannot be traced; the line and the remedy are said.
            UsageError: no such group.
        """
        entries = policy.entries(problem.layout)
        allowed = {entry.name for entry in entries}
        known = {entry.name: entry for entry in problem.layout}
        names, kinds, pool, fall, scored = [], [], [], [], []
        first = 0
        for group in problem.structure.groups:
            if group.kind not in self.kinds or not any(one.tensor in allowed for one in group.written):
                continue
            pool.append(torch.full((group.units,), len(names)))
            names.append(group.name)
            kinds.append(group.kind)
            for kept, slices in ((fall, group.slices), (scored, group.written)):
                of = [_places(known[one.tensor], one) for one in slices if one.tensor in known]
                kept += [(columns, units + first) for columns, units in of]
            first += group.units
        if not names:
            found = ", ".join(sorted({group.kind for group in problem.structure.groups})) or "none"
            msg = (
                f"The model has no groups of {' or '.join(self.kinds)} to prune; its groups are of the kinds: {found}."
            )
            raise UsageError(msg)
        (columns, part), (those, whose) = _joined(fall), _joined(scored)
        whole = (tuple(names), tuple(kinds), torch.cat(pool), columns, part, those, whose)
        return Division(*whole, entries, problem.layout.parameters)


def _places(entry: Entry, one: Slice) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """The columns of theta in a slice, and the unit of each."""
    place = torch.arange(entry.start, entry.start + entry.size).view(entry.shape)
    if one.rows is not None and one.dim != 0:
        place = place[one.rows]
    of = place.movedim(one.dim, 0)[one.positions].flatten(1)  # (units, columns of each)
    return of.flatten(), torch.repeat_interleave(torch.arange(len(of)), of.shape[1])


def _joined(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([columns for columns, _ in pairs]), torch.cat([parts for _, parts in pairs])
