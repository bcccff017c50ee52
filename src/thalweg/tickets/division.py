"""Parameters divided into parts that are kept or pruned as wholes, and the pools in which parts compete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.population import Entry
from thalweg.results import Summarized

Share = float | Mapping[str, float]  # of the parts that are kept: everywhere, or by name or kind of the pool


@dataclass(frozen=True, eq=False)
class Division(Summarized):
    """Parts that are kept or pruned as wholes: single weights, blocks, units; they compete within pools.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> division = tw.tickets.ByLayer().division(problem, tw.tickets.Policy())
    >>> division.names, division.sizes.tolist()
    (('hidden1.weight', 'output.weight'), [2048, 320])

    Args:
        names, kinds: of every pool: (pools,) each.
        pool: in which pool each part is: (parts,).
        columns, part: the columns of theta that fall with a part, and with which: (n,) each.
        scored, scored_part: the columns whose scores a part's score is the sum of, and which part's: (m,) each.
        entries: the tensors that may be pruned.
        parameters: columns of theta.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    pool: Int64[Tensor, " parts"] = field(repr=False)
    columns: Int64[Tensor, " n"] = field(repr=False)
    part: Int64[Tensor, " n"] = field(repr=False)
    scored: Int64[Tensor, " m"] = field(repr=False)
    scored_part: Int64[Tensor, " m"] = field(repr=False)
    entries: tuple[Entry, ...] = field(repr=False)
    parameters: int = field(repr=False)

    @classmethod
    def single(
        cls,
        entries: Sequence[Entry],
        parameters: int,
        pools: Sequence[tuple[str, str, Tensor]],
        parts: Sequence[Tensor] | None = None,
    ) -> "Division":
        """Pools as (name, kind, columns); every column is a part of its own, or of the part whose number is given."""
        columns = torch.cat([one for _, _, one in pools])
        if parts is None:
            pool = torch.repeat_interleave(torch.arange(len(pools)), torch.tensor([len(one) for _, _, one in pools]))
            part = torch.arange(len(columns))
        else:
            counts = torch.tensor([int(one.max()) + 1 for one in parts])
            firsts = counts.cumsum(0) - counts
            pool = torch.repeat_interleave(torch.arange(len(pools)), counts)
            part = torch.cat([one + first for one, first in zip(parts, firsts, strict=True)])
        names, kinds = tuple(name for name, _, _ in pools), tuple(kind for _, kind, _ in pools)
        return cls(names, kinds, pool, columns, part, columns, part, tuple(entries), parameters)

    @cached_property
    def sizes(self) -> Int64[Tensor, " pools"]:
        """How many parts every pool has."""
        return torch.bincount(self.pool, minlength=len(self.names))

    @property
    def loose(self) -> bool:
        """Whether parts are single weights that compete with all others of their tensor at least."""
        return len(self.pool) == len(self.part) and len(self.names) <= len(self.entries)

    def facts(self) -> dict[str, str]:
        """How many parts in how many pools."""
        return {"parts": f"{len(self.pool):,}", "pools": f"{len(self.names):,}"}

    def shares(self, share: Share) -> list[float]:
        """The share that is kept of every pool; one that a mapping does not name is kept whole.

        Raises:
            UsageError: a share that is not above 0 and at most 1, or a name that no pool has.
        """
        if not isinstance(share, Mapping):
            return [_checked("the share kept", share)] * len(self.names)
        unknown = [name for name in share if name not in self.names and name not in self.kinds]
        if unknown:
            known = sorted({*self.names, *self.kinds})
            msg = f"There is no layer {unknown[0]!r} whose share can be given; known are {', '.join(known[:20])}."
            raise UsageError(msg)
        given = {name: _checked(f"the share kept of {name}", value) for name, value in share.items()}
        return [given.get(name, given.get(kind, 1.0)) for name, kind in zip(self.names, self.kinds, strict=True)]


def _checked(what: str, share: float) -> float:
    check_type(f"{what[0].upper()}{what[1:]}", share, (int, float), "a number above 0 and at most 1, such as 0.1")
    if not 0 < share <= 1:
        msg = (
            f"{what[0].upper()}{what[1:]} must be above 0 and at most 1; got {share:g}: sparsity is 1 - share, from 0 "
            "to less than 1."
        )
        raise UsageError(msg)
    return float(share)
