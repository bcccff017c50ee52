"""The studentized bootstrap over few seeds, for many data sets at once.

A resample of n values is a row of multinomial counts, so the moments of all resamples of all data sets are one
matrix product.
"""

import math

import numpy as np
from numpy.typing import NDArray

from thalweg.statistics.standard_error import standard_error
from thalweg.statistics.student_t import reach

LEVEL = 0.95
# (resamples + 1) * 0.025 is an integer, so the 2.5 % and 97.5 % points are order statistics.
RESAMPLES = 9_999
# With fewer values most resamples repeat one of them and leave no spread to divide by.
FEWEST_TO_RESAMPLE = 5

Array = NDArray[np.float64]


def counts(n: int, resamples: int, seed: int) -> Array:
    """How often each of n values is drawn in each resample: (resamples, n)."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return draws.astype(np.float64)


def mean_bounds(samples: Array, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """The ends of the 95 % interval for the mean of each row.

    low = mean - t*(97.5 %) se, high = mean - t*(2.5 %) se, with t* = (mean* - mean)/se* over resamples.

    Args:
        samples: (sets, n), n >= FEWEST_TO_RESAMPLE, finite.
        resamples: draws, shared by all sets.
        seed: of the draws.

    Returns:
        low, high: (sets,) each.

    References:
        Efron (1981), doi:10.2307/3314608; Hall (1988), doi:10.1214/aos/1176350933.
    """
    n = samples.shape[1]
    center = samples.mean(1)
    deviation = (samples - center[:, None]).T
    weights = counts(n, resamples, seed)
    shift = weights @ deviation / n
    variance = np.maximum(weights @ deviation**2 / n - shift**2, 0)
    below, above = studentized_points(shift, np.sqrt(variance / (n - 1)))
    error = standard_error(samples)
    return center - above * error, center - below * error


def bounds(samples: Array, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """The ends of the 95 % interval for the mean of each row, whatever its values: (sets, n) to (sets,) each.

    By the studentized bootstrap; by Student's t for fewer than five values, or where too many are equal to resample.

    >>> import numpy as np
    >>> from thalweg.statistics.bootstrap import bounds
    >>> low, high = bounds(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([-0.48, 4.0], [4.48, 4.0])
    """
    low, high = np.array([t_bounds(row) for row in samples]).T
    if samples.shape[1] >= FEWEST_TO_RESAMPLE:
        resampled = mean_bounds(samples, resamples, seed)
        bounded = np.isfinite(resampled).all(axis=0)
        low, high = np.where(bounded, resampled[0], low), np.where(bounded, resampled[1], high)
    return low, high


def studentized_points(shift: Array, error: Array) -> tuple[Array, Array]:
    """The 2.5 % and 97.5 % points of shift/error over resamples: (resamples, sets) each, to (sets,).

    A resample without spread has an infinite ratio: it counts in the tail on its side.
    """
    # Below this an error is what rounding leaves of zero.
    nothing = 1e-7 * error.max(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > nothing, shift / error, np.copysign(np.inf, shift))
    t = np.where((error <= nothing) & (np.abs(shift) <= nothing), 0.0, t)
    t.sort(axis=0)
    tail = round((len(t) + 1) * (1 - LEVEL) / 2)
    return t[tail - 1], t[-tail]


def t_bounds(sample: Array) -> tuple[float, float]:
    """Student's t interval for the mean, exact for normal values; (-inf, inf) for a single one."""
    n = len(sample)
    if n < 2:
        return -math.inf, math.inf
    half = float(reach(n) * standard_error(sample))
    return float(sample.mean()) - half, float(sample.mean()) + half
