"""How many weights every layer keeps: everywhere alike, globally, by Erdos-Renyi, n of m, in blocks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError, check_count
from thalweg.population import Entry, Problem
from thalweg.tickets.division import Division, Share
from thalweg.tickets.policy import Policy

Counts = Int64[Tensor, " pools"]  # parts that every pool keeps
KEPT: Mapping[str, float] = {"output": 0.9}  # by a search, at every round where nothing is said
OF_THE_REST = 0.8
_DIGITS = 6  # by which products of a share and a count are rounded, so that 0.2 of 5 is 1


class Allocation(ABC):
    """Into which parts a network is divided, and how many parts every pool keeps.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> isinstance(tw.tickets.ByLayer(), tw.tickets.Allocation)
    True
    """

    @abstractmethod
    def division(self, problem: Problem, policy: Policy) -> Division:
        """The parts and pools of a problem's model.

        Raises:
            UsageError: nothing that may be pruned.
            ModelError: units are wanted, of a model that cannot be traced.
        """

    def usual_share(self, division: Division) -> Share | None:
        """What a search keeps at every round where nothing is said: 0.9 of the output layer, 0.8 of all else."""
        if not set(division.kinds) & set(KEPT):
            return OF_THE_REST
        return {kind: KEPT.get(kind, OF_THE_REST) for kind in dict.fromkeys(division.kinds)}

    def kept(self, division: Division, share: Share | None, of: Counts | None = None) -> Counts:
        """How many parts every pool keeps: count - round((1 - share) count), halves up.

        Args:
            division: of this allocation.
            share: which part of them; by the name of the pool or its kind, if not everywhere alike.
            of: how many there are still; None: all.

        Raises:
            UsageError: a share that cannot be meant.
        """
        of = division.sizes if of is None else of
        if share is None:
            msg = "Say which share of the weights is kept, such as 0.1; only NofM has its own."
            raise UsageError(msg)
        shares = division.shares(share)
        return torch.tensor([fewer(int(count), one) for count, one in zip(of, shares, strict=True)])


def fewer(count: int, share: float) -> int:
    """How many remain of a count of which a share is kept."""
    return count - math.floor(round((1 - share) * count, _DIGITS) + 0.5)


@dataclass(frozen=True)
class Global(Allocation):
    """All weights compete in one pool, so layers keep what their scores earn them.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> allocation = tw.tickets.Global()
    >>> allocation.kept(allocation.division(problem, tw.tickets.Policy()), 0.1).tolist()
    [237]
    """

    def division(self, problem: Problem, policy: Policy) -> Division:
        """One pool of all weights."""
        entries = policy.entries(problem.layout)
        every = torch.cat([_columns(entry) for entry in entries])
        return Division.single(entries, problem.layout.parameters, [("all", "all", every)])


@dataclass(frozen=True)
class ByLayer(Allocation):
    """Every tensor is a pool and keeps the share it is given: one share, or one by name or kind.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> allocation = tw.tickets.ByLayer()
    >>> division = allocation.division(problem, tw.tickets.Policy())
    >>> allocation.kept(division, 0.1).tolist(), allocation.kept(division, {"hidden": 0.1, "output": 0.5}).tolist()
    ([205, 32], [205, 160])
    """

    def division(self, problem: Problem, policy: Policy) -> Division:
        """A pool for every tensor."""
        entries = policy.entries(problem.layout)
        pools = [(entry.name, entry.kind, _columns(entry)) for entry in entries]
        return Division.single(entries, problem.layout.parameters, pools)


@dataclass(frozen=True)
class ErdosRenyi(ByLayer):
    """Larger layers keep a smaller share: the density of a tensor is min(1, c (sum of its sizes) / (their product)).

    c is such that as many weights are kept as of all layers together (Evci et al., 2020, arXiv:1911.11134, "ERK").

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> allocation = tw.tickets.ErdosRenyi()
    >>> allocation.kept(allocation.division(problem, tw.tickets.Policy()), 0.1).tolist()
    [165, 72]
    """

    def usual_share(self, division: Division) -> Share | None:
        """0.8 of all, which the rule shares out."""
        return OF_THE_REST

    def kept(self, division: Division, share: Share | None, of: Counts | None = None) -> Counts:
        """Exactly as many in all as of one pool, shared out by the rule and rounded by largest remainders."""
        if not isinstance(share, int | float):
            msg = f"ErdosRenyi shares out by itself and takes one share for all layers; got {share!r}."
            raise UsageError(msg)
        most = (division.sizes if of is None else of).tolist()
        total = fewer(sum(most), division.shares(share)[0])
        weight = [float(sum(entry.shape)) for entry in division.entries]  # density times size, up to c
        full: set[int] = set()
        while True:
            rest = total - sum(most[i] for i in full)
            c = rest / max(sum(w for i, w in enumerate(weight) if i not in full), 1e-300)
            over = {i for i, w in enumerate(weight) if i not in full and c * w > most[i]}
            if not over:
                break
            full |= over
        ideal = [float(most[i]) if i in full else c * w for i, w in enumerate(weight)]
        kept = [math.floor(round(one, _DIGITS)) for one in ideal]
        by_remainder = sorted(range(len(kept)), key=lambda i: (kept[i] - ideal[i], i))
        for i in [i for i in by_remainder if kept[i] < most[i]][: total - sum(kept)]:
            kept[i] += 1
        return torch.tensor(kept)


@dataclass(frozen=True)
class NofM(Allocation):
    """n of every m consecutive weights of a row, as 2:4 kernels want them (Mishra et al., 2021, arXiv:2104.08378).

    A row is what one output unit reads. Fewer than m at its end keep n too, or all.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), allocation=tw.tickets.NofM(2, 4))
    >>> mask[0, :64].view(16, 4).sum(1).unique().tolist()
    [2]
    """

    n: int = 2
    m: int = 4

    def __post_init__(self) -> None:
        check_count("NofM n", self.n)
        check_count("NofM m", self.m, self.n)

    def division(self, problem: Problem, policy: Policy) -> Division:
        """A pool for every m weights of a row."""
        entries, names, kinds, columns, pool = policy.entries(problem.layout), [], [], [], []
        for entry in entries:
            rows, width = _matrix(entry)
            each = -(-width // self.m)
            place = torch.arange(width) // self.m
            pool.append((torch.arange(rows)[:, None] * each + place).flatten() + len(names))
            columns.append(_columns(entry))
            names += [entry.name] * (rows * each)
            kinds += [entry.kind] * (rows * each)
        every, part = torch.cat(columns), torch.arange(sum(map(len, columns)))
        whole = (tuple(names), tuple(kinds), torch.cat(pool), every, part, every, part)
        return Division(*whole, entries, problem.layout.parameters)

    def usual_share(self, division: Division) -> Share | None:
        """None: n of m are kept at the first round, and again at every later one."""
        return None

    def kept(self, division: Division, share: Share | None, of: Counts | None = None) -> Counts:
        """n everywhere, or all where there are fewer."""
        if share is not None and not (isinstance(share, int | float) and abs(share - self.n / self.m) < 1e-9):
            msg = f"NofM({self.n}, {self.m}) keeps {self.n / self.m:g} and no other share; leave the share out."
            raise UsageError(msg)
        return (division.sizes if of is None else of).clamp_max(self.n)


@dataclass(frozen=True)
class Blocks(Allocation):
    """Blocks of a matrix are kept or pruned whole; every tensor is a pool of blocks.

    Rows are output units and columns what they read, flattened. Blocks at the edges are smaller where sizes do not fit.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> allocation = tw.tickets.Blocks(8, 8)
    >>> mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), 0.25, allocation=allocation)
    >>> int(mask[0, : 64 * 32].view(4, 8, 8, 8).any(3).any(1).sum())
    8
    """

    rows: int = 4
    columns: int = 4

    def __post_init__(self) -> None:
        check_count("Blocks rows", self.rows)
        check_count("Blocks columns", self.columns)

    def division(self, problem: Problem, policy: Policy) -> Division:
        """A pool of blocks for every tensor."""
        entries, parts = policy.entries(problem.layout), []
        for entry in entries:
            rows, width = _matrix(entry)
            across = -(-width // self.columns)
            parts.append(
                (torch.arange(rows)[:, None] // self.rows * across + torch.arange(width) // self.columns).flatten()
            )
        pools = [(entry.name, entry.kind, _columns(entry)) for entry in entries]
        return Division.single(entries, problem.layout.parameters, pools, parts)


def _columns(entry: Entry) -> Int64[Tensor, " size"]:
    return torch.arange(entry.start, entry.start + entry.size)


def _matrix(entry: Entry) -> tuple[int, int]:
    """Rows and columns of a tensor read as a matrix; a vector is one row."""
    rows = entry.shape[0] if len(entry.shape) > 1 else 1
    return rows, entry.size // max(rows, 1)
