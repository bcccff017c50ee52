"""The interval for a mean of few values, for many data sets at once.

What it covers, by simulation, is in docs/coverage.md. Student's t alone covers 88 % for five exponential values. The
studentized bootstrap alone covers more, but where four of five values nearly agree it ends hundreds of standard errors
away, since resamples without the fifth have hardly a spread to divide by. So each end reaches as far as the bootstrap
says, but at least as far as Student's t and at most twice as far.
"""

import math

import numpy as np

from thalweg.statistics.bootstrap import RESAMPLES, Array, studentized_reaches
from thalweg.statistics.bounds import ANYTHING, Bounds, ends_within
from thalweg.statistics.standard_error import standard_error
from thalweg.statistics.student_t import LEVEL, reach

# Of fewer values than this too many resamples repeat one of them and have no spread to divide by.
FEWEST_TO_RESAMPLE = 4
AT_MOST = 2.0  # times as far as Student's t
OF_TWO_OR_THREE = 0.98  # the level by which Student's t covers 93 % for skewed values as well


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
    scale on which they are infinitely far away. Values that all agree are a point; between two bounds they leave the
    doubt that Gaffke's interval does, such as 0.48 to 1 for five times 1 between 0 and 1 (Clopper & Pearson's).

    >>> import numpy as np
    >>> from thalweg.statistics.means import mean_ends
    >>> low, high = mean_ends(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([-2.02, 4.0], [6.02, 4.0])

    Args:
        samples: (sets, n), finite and within the bounds.
        resamples: draws, shared by all sets.
        seed: of the draws.
        bounds: what no value can be beyond.

    Returns:
        low, high: (sets,) each; NaN for n = 1, of which nothing is known.
    """
    n, center = samples.shape[1], samples.mean(1)
    if n == 1:
        return np.full(len(samples), np.nan), np.full(len(samples), np.nan)
    below, above = reaches(samples, resamples, seed)
    least, most = bounds
    rounding = 1e-12 * (most - least) if math.isfinite(most - least) else 0.0
    agree = np.ptp(samples, axis=1) <= rounding
    low, high = ends_within(center, np.where(agree, 0.0, standard_error(samples)), below, above, bounds)
    if math.isfinite(most - least):
        doubt = ((1 - LEVEL) / 2) ** (1 / n)
        low = np.where(agree, least + (center - least) * doubt, low)
        high = np.where(agree, most - (most - center) * doubt, high)
    return low, high
