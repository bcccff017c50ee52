"""Pivots of paths: their arc lengths, how they are moved along, tangents, and where a path needs more of them.

Every function here is of numbers alone, for many paths at once, which may have different numbers of pivots: behind its
last pivot, which is the end, a path has that one again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Pivots = Float[Tensor, "pivots paths parameters"]
Shares = Float[Tensor, "pivots paths"]
Rows = Float[Tensor, "paths parameters"]
Counts = Int64[Tensor, " paths"]  # pivots of each path, both ends among them


def straight(first: Rows, second: Rows, between: int) -> Pivots:
    """Pivots at equal distances on the straight lines from first to second, which keep their bits, so many between."""
    share = torch.linspace(0, 1, between + 2, dtype=torch.float64).to(first)[:, None, None]
    pivots = torch.lerp(first[None], second[None], share)
    pivots[0], pivots[-1] = first, second
    return pivots


def inner(counts: Counts) -> Bool[Tensor, "pivots paths"]:
    """Which pivots are no ends."""
    place = torch.arange(int(counts.max()))[:, None]
    return (place > 0) & (place < counts - 1)


def equal_shares(counts: Counts) -> Shares:
    """The shares of their paths' lengths at which pivots at equal distances are: k / (pivots - 1), and 1 behind it."""
    place = torch.arange(int(counts.max()), dtype=torch.float64)[:, None]
    return (place / (counts - 1)).clamp_max(1)


def arc_lengths(pivots: Pivots) -> Shares:
    """How far along its path each pivot is: the sum of the distances between neighbors before it, in float64."""
    apart = torch.linalg.vector_norm(pivots[1:] - pivots[:-1], dim=2, dtype=torch.float64).cpu()
    return torch.cat([apart.new_zeros(1, pivots.shape[1]), apart.cumsum(0)])


def arc_shares(pivots: Pivots, counts: Counts) -> Shares:
    """How far along its path each pivot is, as a share of its length; at equal distances where that is 0."""
    lengths = arc_lengths(pivots)
    return torch.where(lengths[-1] > 0, lengths / torch.where(lengths[-1] > 0, lengths[-1], 1.0), equal_shares(counts))


@dataclass(frozen=True, eq=False)
class Moves:
    """Places between neighboring pivots: x[k] <- (1 - share[k]) x[left[k]] + share[k] x[left[k] + 1], path by path.

    Args:
        left: the pivot that each place lies behind: (places, paths).
        share: of the way to the next one, from 0 to 1: (places, paths).
    """

    left: Int64[Tensor, "places paths"]
    share: Float[Tensor, "places paths"]

    def of(self, matrix: Pivots) -> Pivots:
        """The points at these places, of pivots or of whatever is kept for each: (places, paths, ...)."""
        left, share = self.left.to(matrix.device), self.share.to(matrix)[:, :, None]
        paths = torch.arange(left.shape[1], device=matrix.device)
        return torch.lerp(matrix[left, paths], matrix[(left + 1).clamp_max(len(matrix) - 1), paths], share)


def redistribution(pivots: Pivots, shares: Shares) -> Moves:
    """The moves by which pivots come to lie at given shares of the length of their path, along the polygon they are.

        x_k <- the point of the polygon at arc length shares_k L,    L = sum_k |x_k+1 - x_k|

    The new polygon cuts the corners of the old one, so its own lengths are a little shorter; on a straight line, and
    where the corners are among the new pivots, nothing is lost. What an optimizer remembers of pivots goes the same
    way, by the same moves.

    Args:
        pivots: of paths: (pivots, paths, parameters).
        shares: from 0 to 1, ascending: (pivots, paths); `equal_shares` for equal arc lengths.

    Source: E, Ren and Vanden-Eijnden, 2007, doi:10.1063/1.2720838.
    """
    lengths = arc_lengths(pivots)
    wanted = shares * lengths[-1]
    left = torch.searchsorted(lengths.T.contiguous(), wanted.T.contiguous(), right=True).T - 1
    left = left.clamp(0, len(lengths) - 2)
    before, after = lengths.gather(0, left), lengths.gather(0, left + 1)
    apart = after - before
    share = torch.where(apart > 0, (wanted - before) / torch.where(apart > 0, apart, 1.0), 0.0)
    return Moves(left, share.clamp(0, 1))


def move(pivots: Pivots, moves: Moves, counts: Counts) -> None:
    """Move pivots in place; ends keep their bits, and what is behind an end is the end."""
    between = inner(counts)[1:-1, :, None].to(pivots.device)
    pivots[1:-1] = torch.where(between, moves.of(pivots)[1:-1], pivots[-1])


def tangents(pivots: Pivots, losses: Shares) -> Float[Tensor, "inner paths parameters"]:
    """Unit tangents at the pivots but the first and the last, towards the neighbor of higher loss.

        t = x_+ - x_i                            where V_- < V_i < V_+
        t = x_i - x_-                            where V_- > V_i > V_+
        t = l_+ (x_+ - x_i) + l_- (x_i - x_-)    at extrema: l_+ is the greater of |V_+ - V_i| and |V_- - V_i| where
                                                 V_+ > V_-, and the smaller where V_+ < V_-; l_- is the other one

    and then t / |t|. Where V_+ = V_- it is x_+ - x_-, and where the points are the same it is 0.

    Args:
        pivots: of paths: (pivots, paths, parameters).
        losses: of all of them, on the same examples: (pivots, paths).

    Source: Henkelman and Jonsson, 2000, doi:10.1063/1.1323224.
    """
    apart, change = pivots[1:] - pivots[:-1], losses[1:] - losses[:-1]
    behind, ahead, down, up = apart[:-1], apart[1:], -change[:-1], change[1:]
    most, least = torch.maximum(up.abs(), down.abs()), torch.minimum(up.abs(), down.abs())
    rising, falling = (up > 0) & (down < 0), (up < 0) & (down > 0)
    higher, level = up > down, up == down
    one, none = torch.ones_like(up), torch.zeros_like(up)
    forward = torch.where(rising | level, one, torch.where(falling, none, torch.where(higher, most, least)))
    backward = torch.where(falling | level, one, torch.where(rising, none, torch.where(higher, least, most)))
    tangent = forward[:, :, None] * ahead + backward[:, :, None] * behind
    length = torch.linalg.vector_norm(tangent, dim=2, keepdim=True)
    return tangent / torch.where(length > 0, length, 1.0)


def across(gradient: Tensor, tangent: Tensor) -> Tensor:
    """A gradient without its part along the unit tangent: g - (g . t) t, row by row: (..., parameters)."""
    return gradient - (gradient * tangent).sum(-1, keepdim=True) * tangent


@dataclass(frozen=True)
class Insertion:
    """A pivot to come: between which two, and where.

    Args:
        gap: it comes behind the pivot of this number.
        share: of the way to the next pivot, between 0 and 1.
        excess: by how much the loss there exceeds the chord of its gap, as a share of the path's range.
    """

    gap: int
    share: float
    excess: float


def insertions(losses: Array, between: Array, *, most: int, excess: float) -> list[Insertion]:
    """Where a path needs pivots: in the gaps whose loss rises highest above the straight line through their ends.

        e(gap) = max_s L(s) - (1 - s) L(0) - s L(1) > excess (largest - smallest loss of the path)

    Args:
        losses: of the pivots: (pivots,).
        between: at equal distances between neighbors: (pivots - 1, points).
        most: at most so many, in the gaps that exceed most, one a gap.
        excess: the share of the path's range that is allowed.

    Returns:
        By the order of the gaps.

    Source: Draxler, Veschgini, Salmhofer and Hamprecht, 2018, arXiv:1803.00885.
    """
    points = between.shape[1]
    share = np.arange(1, points + 1) / (points + 1)
    above = between - (1 - share) * losses[:-1, None] - share * losses[1:, None]
    span = max(losses.max(), between.max()) - min(losses.min(), between.min())
    if not np.isfinite(span) or span <= 0:
        return []
    highest = above.max(1) / span
    gaps = sorted(np.argsort(-highest, kind="stable")[:most].tolist())
    return [
        Insertion(gap, float(share[above[gap].argmax()]), float(highest[gap])) for gap in gaps if highest[gap] > excess
    ]


def inserted(
    pivots: Pivots, shares: Shares, counts: Counts, new: Sequence[Sequence[Insertion]]
) -> tuple[Pivots, Shares, Counts]:
    """Paths with further pivots, the shares of their lengths at which they are to lie, and how many they are.

    Pivots that were there keep their bits.

    Args:
        pivots, shares, counts: of the paths as they were.
        new: for each path, by the order of the gaps.
    """
    after = counts + torch.tensor([len(one) for one in new])
    places = torch.empty(int(after.max()), len(new), dtype=torch.float64)
    for path, (count, own) in enumerate(zip(counts.tolist(), new, strict=True)):
        places[:, path] = count - 1
        own_places = sorted([*range(count), *(one.gap + one.share for one in own)])
        places[: len(own_places), path] = torch.tensor(own_places, dtype=torch.float64)
    moves = Moves(places.floor().long(), places.frac())
    return moves.of(pivots), moves.of(shares[:, :, None])[:, :, 0], after


def evened(pivots: Pivots, counts: Counts) -> Pivots:
    """The same polygons with as many pivots each: shorter ones get some in the middle of their longest pieces."""
    shares, most = arc_shares(pivots, counts), int(counts.max())
    while bool((counts < most).any()):
        new: list[list[Insertion]] = []
        for path, count in enumerate(counts.tolist()):
            longest = shares[:count, path].diff().argsort(descending=True, stable=True)
            gaps = sorted(longest[: most - count].tolist())
            new.append([Insertion(gap, 0.5, 0.0) for gap in gaps])
        pivots, shares, counts = inserted(pivots, shares, counts, new)
    return pivots
