"""The interval for a mean of few values, for many data sets at once.

What it covers, by simulation, is in docs/coverage.md. Student's t alone covers 88 % for five exponential values. The
studentized bootstrap alone covers more, but where four of five values nearly agree it ends hundreds of standard errors
away, since resamples without the fifth have hardly a spread to divide by. So each end reaches as far as the bootstrap
says, but at least as far as Student's t and at most twice as far. Between two bounds it reaches no farther than
Gaffke's interval, which covers 95 % whatever the values are.
"""

import math

import numpy as np
from numpy.typing import NDArray

from thalweg.statistics.bootstrap import RESAMPLES, Array, studentized_reaches
from thalweg.statistics.bounds import ANYTHING, Bounds, ends_within
from thalweg.statistics.gaffke import gaffke_ends
from thalweg.statistics.standard_error import standard_error
from thalweg.statistics.student_t import LEVEL, reach

# Of fewer values than this too many resamples repeat one of them and have no spread to divide by.
FEWEST_TO_RESAMPLE = 4
AT_MOST = 2.0  # times as far as Student's t
OF_TWO_OR_THREE = 0.98  # the level by which Student's t covers 93 % for skewed values as well
ROUNDING = 1e-6  # of the range between two bounds, or else of the largest value: a spread that says nothing, in float32


def reaches(samples: Array, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """How many standard errors the interval of `mean_ends` reaches down and up from the mean of each row.

    The arguments are those of `mean_ends`.
    """
    sets, n = samples.shape
    if n < FEWEST_TO_RESAMPLE:
        same = np.full(sets, reach(n, OF_TWO_OR_THREE))
        return same, same
    least = reach(n)
    below, above = (np.clip(end, least, AT_MOST * least) for end in studentized_reaches(samples, resamples, seed))
    return below, above


def mean_ends(
    samples: Array, resamples: int = RESAMPLES, seed: int = 0, *, bounds: Bounds = ANYTHING
) -> tuple[Array, Array]:
    """The ends of the 95 % interval for the mean of each row: (sets, n) to (sets,) each.

    low = mean - r_low se, high = mean + r_high se, where the reaches r are those of the studentized bootstrap, at least
    Student's t and at most twice that; of two or three values Student's t for 98 %. With bounds the same on a
    scale on which they are infinitely far away; between two of them no end is farther out than that of Gaffke's
    interval. Values that all agree but for rounding say nothing of how much they vary, and have no ends; between two
    bounds they leave the doubt that Gaffke's interval does, such as 0.48 to 1 for five times 1 between 0 and 1 (Clopper
    & Pearson's).

    >>> import numpy as np
    >>> from thalweg.statistics.means import mean_ends
    >>> low, high = mean_ends(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([-2.02, nan], [6.02, nan])

    Args:
        samples: (sets, n), finite and within the bounds.
        resamples: draws, shared by all sets.
        seed: of the draws.
        bounds: what no value can be beyond.

    Returns:
        low, high: (sets,) each; NaN for n = 1, and for values that agree without two bounds.

    References:
        Efron (1981), doi:10.2307/3314608; Hall (1988), doi:10.1214/aos/1176350933; Gaffke (2005), see `bounded`.
    """
    n, center = samples.shape[1], samples.mean(1)
    if n == 1:
        return np.full(len(samples), np.nan), np.full(len(samples), np.nan)
    below, above = reaches(samples, resamples, seed)
    agree = alike(samples, bounds)
    low, high = ends_within(center, np.where(agree, 0.0, standard_error(samples)), below, above, bounds)
    least, most = bounds
    if not math.isfinite(most - least):
        return np.where(agree, np.nan, low), np.where(agree, np.nan, high)
    worst = [least + (most - least) * end for end in gaffke_ends((samples - least) / (most - least), resamples, seed)]
    doubt = ((1 - LEVEL) / 2) ** (1 / n)  # what Gaffke's of values that agree is without draws
    low = np.where(agree, least + (center - least) * doubt, np.maximum(low, worst[0]))
    high = np.where(agree, most - (most - center) * doubt, np.minimum(high, worst[1]))
    return np.minimum(low, center), np.maximum(high, center)


def alike(samples: Array, bounds: Bounds = ANYTHING) -> NDArray[np.bool_]:
    """Whether the values of each row differ by no more than rounding: (sets, n) to (sets,).

    >>> import numpy as np
    >>> from thalweg.statistics.means import alike
    >>> alike(np.array([[0.01, 0.01 + 1e-9], [0.01, 0.02]])).tolist()
    [True, False]
    """
    range_, largest = bounds[1] - bounds[0], np.abs(samples).max(axis=1)
    return np.ptp(samples, axis=1) <= ROUNDING * (range_ if math.isfinite(range_) else largest)
