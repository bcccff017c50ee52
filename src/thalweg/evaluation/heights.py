"""How high values on a path rise, and where: one name for one definition, for every instrument that has heights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.guard import guarded

Array = NDArray[np.float64]
_SMOOTH = 0.25  # of the bend at the highest point, that its neighbors have at least where a curve has no kink


def above_chord(values: ArrayLike) -> Array:
    """Values at equal distances less the straight interpolation of their ends: (..., points); 0 at both ends.

    >>> from thalweg.evaluation.heights import above_chord
    >>> above_chord([1.0, 4.0, 2.0]).tolist()
    [0.0, 2.5, 0.0]
    """
    table = np.asarray(values, dtype=np.float64)
    share = np.linspace(0, 1, table.shape[-1])
    first, last = table[..., :1], table[..., -1:]
    over = table - (first + share * (last - first))
    over[..., 0], over[..., -1] = over[..., 0] * 0, over[..., -1] * 0  # NaN stays NaN
    return over


def peak(values: ArrayLike) -> tuple[Array, Array]:
    """The highest value of a curve known at equal distances from 0 to 1, and where it is: (..., points) to (...) each.

    The parabola through the highest point, at v, and its neighbors, at l and r, peaks by (r - l)^2 / (8 b) higher, a
    distance h (r - l) / (2 b) away, with b = 2 v - l - r, the bend, and h the distance of points. It is taken where
    its neighbors bend at least a quarter as much; at a kink, as of a tent, they do not, and the highest point is taken
    as it is. So it is at an end. What is found is never below the highest point, and above it by at most an eighth of
    how far it is above the lower of its neighbors.

    >>> import numpy as np
    >>> from thalweg.evaluation.heights import peak
    >>> at = np.linspace(0, 1, 6)
    >>> height, where = peak(np.stack([1 - 4 * (at - 0.45) ** 2, 1 - np.abs(at - 0.45)]))
    >>> height.round(9).tolist(), where.round(9).tolist()
    ([1.0, 0.95], [0.45, 0.4])

    A curve with a value that is not finite has neither.
    """
    table = np.asarray(values, dtype=np.float64)
    table = np.where(np.isfinite(table), table, np.nan)
    last = table.shape[-1] - 1
    top = table.argmax(-1)

    def beside(steps: int) -> Array:
        return np.take_along_axis(table, np.clip(top + steps, 0, last)[..., None], -1)[..., 0]

    highest, left, right = beside(0), beside(-1), beside(1)
    bend = 2 * highest - left - right
    before, after = 2 * left - beside(-2) - highest, 2 * right - highest - beside(2)
    known_before, known_after = top >= 2, top <= last - 2
    smooth = (top > 0) & (top < last) & (bend > 0) & (known_before | known_after)
    smooth &= (~known_before | (before >= _SMOOTH * bend)) & (~known_after | (after >= _SMOOTH * bend))
    rise = np.where(smooth, right - left, 0.0)
    width = np.where(smooth, bend, 1.0)
    found = highest + rise**2 / (8 * width)
    where = (top + rise / (2 * width)) / last
    return found, np.where(np.isfinite(found), where, np.nan)


def highest(values: ArrayLike) -> tuple[Array, Array]:
    """The highest of the points of a curve, and where it is: (..., points) to (...) each; see `peak`.

    >>> from thalweg.evaluation.heights import highest
    >>> [float(one) for one in highest([0.0, 1.0, 0.5])]
    [1.0, 0.5]
    """
    table = np.asarray(values, dtype=np.float64)
    table = np.where(np.isfinite(table), table, np.nan)
    found = table.max(-1)
    return found, np.where(np.isfinite(found), table.argmax(-1) / (table.shape[-1] - 1), np.nan)


@dataclass(frozen=True, eq=False)
class LineHeights:
    """How high values on lines rise; all (...), NaN on a line with a value that is not finite.

    >>> import thalweg as tw
    >>> found = tw.evaluation.line_heights([1.0, 2.0, 0.5], "error")
    >>> float(found.barrier), float(found.over_mean), float(found.location)
    (1.25, 1.25, 0.5)

    Args:
        barrier: above the straight interpolation of the ends (Entezari et al., 2021, arXiv:2110.06296); at least 0.
        over_mean: above the mean of the ends (Frankle et al., 2020, arXiv:1912.05671); at least 0.
        location: t, from 0 to 1, where the line is highest above the straight interpolation; NaN where it nowhere is.
    """

    barrier: Array
    over_mean: Array
    location: Array


@guarded
def line_heights(values: ArrayLike, name: str = "loss") -> LineHeights:
    """How high a line rises, by either definition of a barrier: (..., points) to (...) each.

        barrier:   max over t of L(t) - (1 - t) L(0) - t L(1),    t at equal distances from 0 to 1
        over_mean: max over t of L(t) - (L(0) + L(1)) / 2

    The loss is smooth, and its maximum is refined by the parabola through the highest point and its neighbors
    (`heights.peak`). The error and any other metric, of which examples are counted, are staircases: the highest of the
    points is taken, which a network on the line has.

    >>> import thalweg as tw
    >>> tw.evaluation.line_heights([[1.0, 4.0, 2.0], [2.0, 0.0, 1.0]], "error").barrier.tolist()
    [2.5, 0.0]

    Args:
        values: of which more is worse, as of the loss and the error.
        name: of what: "loss" or another.
    """
    top = peak if name == "loss" else highest
    table = np.asarray(values, dtype=np.float64)
    height, where = top(above_chord(table))
    over_mean = top(table)[0] - (table[..., 0] + table[..., -1]) / 2
    return LineHeights(height, over_mean, np.where(height > 0, where, np.nan))


def above_higher_end(values: ArrayLike) -> Array:
    """By how much the highest of the points is above the higher end: (..., points) to (...); at least 0.

    >>> from thalweg.evaluation.heights import above_higher_end
    >>> above_higher_end([[1.0, 4.0, 2.0], [2.0, 0.0, 1.0]]).tolist()
    [2.0, 0.0]
    """
    table = np.asarray(values, dtype=np.float64)
    return table.max(-1) - np.maximum(table[..., 0], table[..., -1])
