"""Where a run is cut into slices, so that every member keeps the bits that it has in the whole."""

import bisect
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.optim import Rule, Wrapper
from thalweg.population.chunks import chunked
from thalweg.training.member_grid import MemberGrid

_ALIGNED = 16  # rows of float32 whose first numbers lie alike in memory, in 64 bytes, whatever a row's length
_LONG = 2  # aligned pieces of rows in a slice, from which on it begins at one
_REACH = 8  # a slice may be one in so many of its rows longer or shorter, so that no chunk is cut


def cuts(
    weights: ArrayLike,
    slices: int,
    *,
    required: Iterable[int] = (),
    edges: Iterable[int] = (),
    whole: bool = True,
    aligned: bool = False,
) -> list[int]:
    """The rows at which slices of about equal weight begin and end, the first and the last row included.

    A call on several rows computes each as it does among others, but one row alone may go another way. So a slice has
    at least two rows, and begins where a chunk does, or leaves two of the chunk on both sides.

    >>> from thalweg.training.cutting import cuts
    >>> cuts([1] * 12, 3)
    [0, 4, 8, 12]
    >>> cuts([1] * 12, 3, edges=[0, 7, 12], whole=False)  # rows 7 and 8 would leave one row of a chunk alone
    [0, 4, 7, 12]
    >>> cuts([3, 3, 1, 1, 1, 1, 1, 1], 2)
    [0, 2, 8]

    Args:
        weights: of each member, the work it makes: (members,).
        slices: how many, at most.
        required: rows at which slices begin in any case.
        edges: where chunks begin and end; see `edges_of`.
        whole: whether rows are computed one by one, so that there are no chunks.
        aligned: whether slices begin at multiples of 16 alone, as for rules of whole matrices, whose decompositions
            depend on where in memory a matrix lies.
    """
    before = np.concatenate([[0.0], np.cumsum(np.asarray(weights, dtype=np.float64))])
    members = len(before) - 1
    taken, kept = sorted({0, members, *required, *edges}), sorted({0, members, *required})
    length = members // slices
    for number in range(1, slices):
        wanted = int(np.abs(before - before[-1] * number / slices).argmin())
        near = range(max(1, wanted - length), min(members, wanted + length + 1))
        free = [row for row in near if whole or (_leaves_two(kept, row) and _leaves_two(taken, row))]
        if aligned:
            free = [row for row in free if row % _ALIGNED == 0]
        if not free:
            continue
        chosen = min(free, key=lambda row: (*_spoils(row, wanted, length, taken, whole=whole), abs(row - wanted)))
        for rows in (kept, taken):
            if chosen not in rows:
                bisect.insort(rows, chosen)
    return kept


def edges_of(
    grid: MemberGrid, began: Int64[Tensor, " members"], chunk: int | None, examples: int, evaluated: int | None
) -> set[int]:
    """Where chunks of a whole run begin and end, at any of its steps.

    Args:
        grid: of the whole run.
        began: the step at which each member begins.
        chunk: rows in a stacked gradient; None where members are looped.
        examples: of training.
        evaluated: rows in a stacked evaluation; None where members are looped.
    """
    found: set[int] = set()
    if chunk is not None:
        for step in sorted(set(began.tolist())):
            begun = (began <= step).tolist()
            for group in grid.groups(examples):
                runs = _runs(begun, group.rows)
                found |= {edge for run in runs for one in chunked(run, chunk) for edge in (one.start, one.stop)}
    if evaluated is not None:
        found |= {edge for one in chunked(slice(0, grid.members), evaluated) for edge in (one.start, one.stop)}
    return found


def of_whole_matrices(rule: Rule | Wrapper) -> bool:
    """Whether a rule, or one inside it, takes more of a tensor than its entries one by one."""
    return of_whole_matrices(rule.rule) if isinstance(rule, Wrapper) else not rule.elementwise


def _runs(begun: Sequence[bool], rows: slice) -> list[slice]:
    """Neighboring members among the rows that have begun."""
    edges = [rows.start, *(row for row in range(rows.start + 1, rows.stop) if begun[row] != begun[row - 1]), rows.stop]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if begun[a]]


def _leaves_two(among: Sequence[int], row: int) -> bool:
    """Whether a cut at the row is one of these, or leaves two rows to the nearest of them on both sides."""
    place = bisect.bisect(among, row)
    return among[place - 1] == row or (row - among[place - 1] >= 2 and among[place] - row >= 2)


def _spoils(row: int, wanted: int, length: int, taken: Sequence[int], *, whole: bool) -> tuple[bool, bool]:
    """What speaks against a row near the wanted one: that it cuts a chunk, or begins where no aligned piece does."""
    near = abs(row - wanted) <= max(1, length // _REACH)
    cuts_chunk = not whole and not (near and row in taken)
    aligned = near and row % _ALIGNED == 0
    return cuts_chunk, length >= _LONG * _ALIGNED and not aligned
