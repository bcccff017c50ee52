"""Masks that keep exactly as many parts as they should, by a stable order of their scores."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.tickets.allocation import Allocation, ByLayer, Counts
from thalweg.tickets.division import Division, Share
from thalweg.tickets.policy import Policy

Scores = Float[Tensor, "members parameters"]
Mask = Bool[Tensor, "members parameters"]
Parts = Bool[Tensor, "members parts"]


class EmptyLayerError(UsageError):
    """A layer of which nothing would be left, so that its network would be a constant.

    >>> import thalweg as tw
    >>> issubclass(tw.tickets.EmptyLayerError, tw.UsageError)
    True
    """


@guarded
def prune(
    problem: Problem,
    scores: Scores,
    share: Share | None = None,
    *,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    within: Mask | None = None,
) -> Mask:
    """The mask that keeps the parts of the highest scores, exactly as many as the allocation says.

    Equal scores are ordered by their place in theta. A mask within another one keeps a share of what that leaves, so
    masks nest: keeping 0.8 ten times leaves 0.107 of the weights.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> scores = problem.initialize(2).theta.abs()
    >>> mask = tw.tickets.prune(problem, scores, 0.1)
    >>> mask.shape, mask[:, problem.layout.where("hidden", "output")].sum(1).tolist()
    (torch.Size([2, 2410]), [237, 237])
    >>> bool((tw.tickets.prune(problem, scores, 0.5, within=mask) <= mask).all())
    True

    Args:
        problem: whose model is pruned.
        scores: of every parameter, such as those of `tickets.scores`: (members, parameters). Only those of parameters
            that may be pruned count.
        share: of the parts that are kept, above 0 and at most 1: everywhere, or by name or kind of a layer.
        allocation: what the parts are, and how many every layer keeps; None: `ByLayer`.
        policy: what may be pruned; None: `Policy()`.
        within: a mask that is pruned further: (members, parameters).

    Returns:
        True where a parameter stays, also where it may not be pruned: (members, parameters).

    Raises:
        UsageError: scores of another shape or not finite, a share that cannot be meant, a mask of another layout, or
            (an EmptyLayerError) a layer that would become empty.
    """
    check_type("prune problem", problem, Problem, "a Problem")
    allocation, policy = allocation or ByLayer(), policy or Policy()
    division = allocation.division(problem, policy)
    of = None if within is None else remaining(division, within)
    return select(scores, division, allocation.kept(division, share, of), within=within)


def remaining(division: Division, within: Mask) -> Counts:
    """How many parts every pool of a mask has still, the same in all of its members.

    Raises:
        UsageError: a mask of another layout, or members that differ.
    """
    check_mask(division, within)
    alive = alive_parts(division, within)
    counts = torch.zeros(len(within), len(division.names), dtype=torch.long).index_add_(1, division.pool, alive.long())
    if bool((counts != counts[0]).any()):
        msg = "Members of the mask keep different numbers of weights; prune them one by one."
        raise UsageError(msg)
    return counts[0]


@in_words
def select(scores: Scores, division: Division, kept: Counts, *, within: Mask | None = None) -> Mask:
    """The mask of the parts with the highest scores: exactly `kept` of every pool.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> division = tw.tickets.ByLayer().division(problem, tw.tickets.Policy())
    >>> mask = tw.tickets.select(torch.zeros(1, 2410), division, torch.tensor([5, 2]))
    >>> mask.nonzero()[:5, 1].tolist(), int(mask.sum()) - 42
    ([0, 1, 2, 3, 4], 7)

    Args:
        scores: of every parameter: (members, parameters).
        division: into parts and pools.
        kept: parts of every pool: (pools,).
        within: a mask that is pruned further.

    Raises:
        UsageError: as `prune`; or fewer parts than are to be kept.
    """
    mask = mask_of(division, select_parts(scores, division, kept, within=within))
    mask = mask if within is None else mask & within.cpu()
    _check_not_empty(division, mask)
    return mask


def select_parts(scores: Scores, division: Division, kept: Counts, *, within: Mask | None = None) -> Parts:
    """Which parts `select` keeps: (members, parts)."""
    check_type("select scores", scores, Tensor, "a tensor (members, parameters)")
    if scores.ndim != 2 or scores.shape[1] != division.parameters:
        msg = f"Scores must be (members, {division.parameters}), one for every parameter; got {tuple(scores.shape)}."
        raise UsageError(msg)
    of_column = scores.detach().double().cpu()[:, division.scored]
    if not of_column.isfinite().all():
        msg = "Scores must be finite; a member that diverged cannot be pruned by its weights. Leave it out."
        raise UsageError(msg)
    parts = torch.zeros(len(scores), len(division.pool), dtype=torch.float64)
    parts.index_add_(1, division.scored_part, of_column)
    sizes = division.sizes.expand(len(scores), -1)
    if within is not None:
        check_mask(division, within, len(scores))
        alive = alive_parts(division, within).expand_as(parts)
        parts = parts.masked_fill(~alive, -torch.inf)
        sizes = torch.zeros_like(sizes).index_add_(1, division.pool, alive.long())
    if bool((kept > sizes).any()) or bool((kept < 0).any()):
        pool = int((kept > sizes).any(0).int().argmax())
        msg = f"{division.names[pool]!r} has {int(sizes[:, pool].min()):,} parts and cannot keep {int(kept[pool]):,}."
        raise UsageError(msg)
    order = parts.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, division.pool[order].argsort(dim=1, stable=True))  # by pool, the best first
    firsts = division.sizes.cumsum(0) - division.sizes
    pools = division.pool.sort().values
    chosen = torch.arange(len(pools)) - firsts[pools] < kept[pools]
    return torch.zeros_like(parts, dtype=torch.bool).scatter_(1, order, chosen.expand(len(scores), -1))


def mask_of(division: Division, parts: Parts) -> Mask:
    """The mask of kept parts: False in every column of a part that is not kept."""
    lost = torch.zeros(len(parts), division.parameters, dtype=torch.int32)
    lost.index_add_(1, division.columns, (~parts).int()[:, division.part])
    return lost == 0


def check_mask(division: Division, mask: Mask, members: int | None = None) -> None:
    """Raise UsageError for what is no mask of this layout."""
    right = isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.ndim == 2
    if not right or mask.shape[1] != division.parameters or (members is not None and len(mask) not in (1, members)):
        shape = f"({'members' if members is None else members}, {division.parameters})"
        got = (
            f"{str(mask.dtype).removeprefix('torch.')} {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
        )
        msg = f"A mask of this model is boolean of shape {shape}, got {got}."
        raise UsageError(msg)


def alive_parts(division: Division, within: Mask) -> Parts:
    """Parts of which anything that is scored is left."""
    left = torch.zeros(len(within), len(division.pool), dtype=torch.int32)
    return left.index_add_(1, division.scored_part, within.cpu().int()[:, division.scored]) > 0


def _check_not_empty(division: Division, mask: Mask) -> None:
    for entry in division.entries:
        empty = ~mask[:, entry.columns].any(1)
        if entry.size and bool(empty.any()):
            raise _empty(entry.name, f" (members {empty.nonzero().flatten().tolist()})")


def check_left(division: Division, kept: Counts) -> None:
    """Raise EmptyLayerError where an allocation by layer leaves nothing of one, whatever its scores are."""
    if division.names != tuple(entry.name for entry in division.entries):
        return
    for name, size, left in zip(division.names, division.sizes.tolist(), kept.tolist(), strict=True):
        if size and not left:
            raise _empty(name, "")


def _empty(name: str, which: str) -> EmptyLayerError:
    return EmptyLayerError(
        f"The layer {name!r} would become empty{which}, and its network a constant. Keep a larger share, allocate by "
        "layer, or leave it out with Policy(never=...)."
    )
