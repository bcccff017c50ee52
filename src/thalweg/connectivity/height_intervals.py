"""Intervals over examples of how high a line rises: of a maximum, which resamples alone put too high."""

import numpy as np
from numpy.typing import NDArray

from thalweg.connectivity.resamples import ends
from thalweg.evaluation import line_heights
from thalweg.evaluation.heights import above_chord

Array = NDArray[np.float64]
METHOD = "bootstrap over examples, of a maximum over points"


def height_intervals(values: Array, draws: Array, name: str) -> tuple[Array, Array]:
    """The intervals of both definitions of a barrier: above the straight interpolation of the ends, and their mean.

    See `interval_of_maximum`. Neither height is below 0, and no interval is.

    >>> import numpy as np
    >>> from thalweg.connectivity.height_intervals import height_intervals
    >>> line = np.array([0.0, 3.0, 1.0])
    >>> above_chord, over_mean = height_intervals(line, np.stack([line - 0.5, line, line + 0.5] * 13), "error")
    >>> above_chord.tolist(), over_mean.tolist()
    ([2.5, 2.5], [2.5, 2.5])

    Args:
        values: on lines: (..., points).
        draws: the same over resampled examples: (..., resamples, points).
        name: of what: "loss" or another (see `line_heights`).

    Returns:
        Low and high ends by each: (..., 2).
    """
    found = line_heights(values, name)
    return (
        interval_of_maximum(above_chord(values), above_chord(draws), found.barrier),
        interval_of_maximum(_above_mean(values), _above_mean(draws), found.over_mean),
    )


def interval_of_maximum(values: Array, draws: Array, estimate: Array) -> Array:
    """The 95 % interval of the maximum of a curve each of whose points is a mean over examples: (..., 2).

        low:  estimate - c,  where c is the 97.5 % point over resamples of max over t in T of f*(t) - f(t)
        high: max over t of the 97.5 % point over resamples of f*(t)

    The highest of several estimates is the one with the most luck, and that of a resample has luck twice: where the
    true maximum is 0, as without a barrier, the 2.5 % point of the resamples' maxima is above it more often than not.
    So the lower end allows for the luck of the luckiest point, as a band does that holds at all of T at once. T are the
    points that may be the highest: not lower than the highest by more than twice what any resample differs at any
    point. The upper end needs no such allowance: that of the truly highest point is among those of which it is the
    largest. Each end misses in about 2.5 %, and the upper one in none at a maximum of 0. Of an error, where only a few
    examples change, resamples know little of those that might: the upper end is then too low more often (of a height
    of 2 points and 360 examples, 7 that change, in 6 %).

    >>> import numpy as np
    >>> from thalweg.connectivity.height_intervals import interval_of_maximum
    >>> noise = np.random.default_rng(0).normal(size=(400, 30))  # of the resamples, about 30 points that are all 0
    >>> curve = np.random.default_rng(1).normal(size=30)
    >>> low, high = interval_of_maximum(curve, curve + noise, curve.max())
    >>> bool(low <= 0 <= high), bool(np.quantile((curve + noise).max(1), 0.025) > 0)
    (True, True)

    Args:
        values: of the curve: (..., points), one of which is known to be at least 0.
        draws: on resampled examples: (..., resamples, points).
        estimate: the maximum, which may lie a little above the highest point: (...).

    Source: Chernozhukov, Lee and Rosen, 2013, arXiv:0907.3503 (there with studentized points).
    """
    top = values.max(-1)
    over = draws - values[..., None, :]
    near = values >= (top - 2 * over.max((-2, -1)))[..., None]
    luckiest = np.where(near[..., None, :] | np.isnan(over), over, -np.inf).max(-1)
    low = np.maximum(estimate - np.maximum(ends(luckiest, axis=-1)[1], 0), 0)
    high = np.maximum(ends(draws, axis=-2)[1].max(-1), top) + (estimate - top)
    known = np.isfinite(low) & np.isfinite(high)
    return np.where(known[..., None], np.stack([low, high], -1), np.nan)


def _above_mean(values: Array) -> Array:
    return values - (values[..., :1] + values[..., -1:]) / 2
