"""Estimates with their intervals as marks: a line with a band, or bars with error bars."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from thalweg.arguments import in_words
from thalweg.figures.marks import Bars, Line
from thalweg.figures.validation import Numbers
from thalweg.statistics import Interval


@in_words
def interval_line(x: ArrayLike, intervals: Sequence[Interval], *, label: str = "") -> Line:
    """The line through estimates, with their intervals as its band.

    >>> import thalweg as tw
    >>> from thalweg.statistics import interval
    >>> line = tw.figures.interval_line([8, 16], [interval.mean([1.0, 2.0]), interval.mean([3.0, 5.0])], label="error")
    >>> line.y.tolist(), line.low.round(2).tolist()
    ([1.5, 4.0], [-14.41, -27.82])

    Args:
        x: where each estimate stands: (points,).
        intervals: one a point.
        label: its name in the legend.
    """
    middle, low, high = _ends(intervals)
    return Line(np.asarray(x, dtype=np.float64), middle, low=low, high=high, label=label)


@in_words
def interval_bars(intervals: Mapping[str, Interval], *, label: str = "") -> Bars:
    """One bar for each estimate by its name, with its interval as the error bar.

    >>> import thalweg as tw
    >>> from thalweg.statistics import interval
    >>> bars = tw.figures.interval_bars({"SGD": interval.mean([1.0, 2.0]), "Adam": interval.mean([3.0, 5.0])})
    >>> bars.labels, bars.values.tolist()
    (('SGD', 'Adam'), [1.5, 4.0])

    Args:
        intervals: by the name of the bar.
        label: the name of the set of bars in the legend.
    """
    middle, low, high = _ends(list(intervals.values()))
    return Bars(tuple(intervals), middle, low=low, high=high, label=label)


def _ends(intervals: Sequence[Interval]) -> Numbers:
    """Estimates, lower and upper ends: (3, intervals)."""
    return np.array([(one.estimate, one.low, one.high) for one in intervals], dtype=np.float64).reshape(-1, 3).T
