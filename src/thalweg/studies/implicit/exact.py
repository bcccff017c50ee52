"""Intervals of what is computed exactly, and of what cannot be known."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.statistics import Interval


def largest(values: ArrayLike, what: str) -> Interval:
    """The largest of values that hold or break an inequality each by itself; unknown where one of them is none.

    >>> from thalweg.studies.implicit.exact import largest
    >>> largest([1.0, 3.0, 2.0], "over 3 designs").high
    3.0
    """
    flat: NDArray[np.float64] = np.ravel(np.asarray(values, dtype=np.float64))
    worst = float(flat.max())
    return Interval(worst, worst, worst, len(flat), f"the largest, {what}")
