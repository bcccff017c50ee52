"""The studentized bootstrap over few seeds, for many data sets at once.

A resample of n values is a row of multinomial counts, so the moments of all resamples of all data sets are one
matrix product.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from thalweg.statistics.student_t import LEVEL

# (resamples + 1) * 0.025 is an integer, so the 2.5 % and 97.5 % points are order statistics.
RESAMPLES = 9_999
_KEPT = 2**26  # draws that are kept at most, of two bytes each

Array = NDArray[np.float64]


def counts(n: int, resamples: int, seed: int) -> Array:
    """How often each of n values is drawn in each resample: (resamples, n).

    The last draws are kept: those of many values take longer than all that is done with them.
    """
    made = _drawn if n * resamples <= _KEPT else _drawn.__wrapped__
    return made(n, resamples, seed).astype(np.float64)


@functools.lru_cache(maxsize=2)
def _drawn(n: int, resamples: int, seed: int) -> NDArray[np.int64] | NDArray[np.uint16]:
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return draws.astype(np.uint16) if n < 2**16 else draws


def studentized_reaches(samples: Array, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """How many standard errors the 95 % interval for the mean of each row reaches down and up, by the bootstrap.

    below = t*(97.5 %), above = -t*(2.5 %), with t* = (mean* - mean)/se* over resamples. A resample without spread has
    an infinite one, and counts in the tail on its side.

    >>> import numpy as np
    >>> from thalweg.statistics.bootstrap import studentized_reaches
    >>> below, above = studentized_reaches(np.array([[1.0, 1.1, 1.2, 1.4, 1.9, 3.0]]))
    >>> bool(above[0] > 2 * below[0])
    True

    Args:
        samples: (sets, n), at least 2 values, finite.
        resamples: draws, shared by all sets.
        seed: of the draws.

    Returns:
        below, above: (sets,) each.

    References:
        Efron (1981), doi:10.2307/3314608; Hall (1988), doi:10.1214/aos/1176350933.
    """
    n = samples.shape[1]
    deviation = (samples - samples.mean(1, keepdims=True)).T
    weights = counts(n, resamples, seed)
    shift = weights @ deviation / n
    variance = np.maximum(weights @ deviation**2 / n - shift**2, 0)
    low, high = studentized_points(shift, np.sqrt(variance / (n - 1)))
    return high, -low


def studentized_points(shift: Array, error: Array) -> tuple[Array, Array]:
    """The 2.5 % and 97.5 % points of shift/error over resamples: (resamples, sets) each, to (sets,)."""
    # Below this an error is what rounding leaves of zero.
    nothing = 1e-7 * error.max(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > nothing, shift / error, np.copysign(np.inf, shift))
    t = np.where((error <= nothing) & (np.abs(shift) <= nothing), 0.0, t)
    tail = round((len(t) + 1) * (1 - LEVEL) / 2)
    t.partition((tail - 1, len(t) - tail), axis=0)
    return t[tail - 1], t[-tail]
