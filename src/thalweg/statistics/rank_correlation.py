"""Rank correlations along one axis of two tables, such as within every seed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError

Array = NDArray[np.float64]


@in_words
def kendall(first: ArrayLike, second: ArrayLike, *, axis: int = 0, fewest: int = 2) -> Array:
    """Kendall's tau-b along an axis: (points, ...) each to (...), or to a number of one row.

        tau = (concordant - discordant) / sqrt((pairs not tied in the first) (pairs not tied in the second))

    Along the axis of one hyper-parameter, the others being held, its mean is the granulated coefficient by which Jiang
    et al. (2020, arXiv:1912.02178) compare measures of generalization.

    >>> from thalweg.statistics import kendall
    >>> sharpness, error = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], [[0.1, 0.3], [0.2, 0.1], [0.3, float("nan")]]
    >>> kendall(sharpness, error).tolist()
    [1.0, -1.0]

    Args:
        first, second: tables that fit each other; pairs of which one is not finite are left out.
        axis: along which values are ranked.
        fewest: pairs that have a rank correlation; of fewer, and where all of one are equal, it is NaN.

    Raises:
        UsageError: shapes that do not fit, or no such axis.
    """
    from scipy import stats

    return _along("kendall", first, second, axis, fewest, lambda a, b: stats.kendalltau(a, b).statistic)


@in_words
def spearman(first: ArrayLike, second: ArrayLike, *, axis: int = 0, fewest: int = 2) -> Array:
    """Spearman's correlation, Pearson's of the ranks, along an axis: (points, ...) each to (...); see `kendall`.

    >>> from thalweg.statistics import spearman
    >>> spearman([1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]).item()
    1.0
    """
    from scipy import stats

    return _along("spearman", first, second, axis, fewest, lambda a, b: stats.spearmanr(a, b).statistic)


def _along(
    name: str, first: ArrayLike, second: ArrayLike, axis: int, fewest: int, correlation: Callable[[Array, Array], float]
) -> Array:
    """The correlation of every two rows along an axis, as far as they can be ranked."""
    try:
        pair = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
        one, other = (np.moveaxis(values, axis, -1) for values in pair)
    except ValueError as error:
        msg = f"{name} ranks two tables of one shape along an axis; got {np.shape(first)} and {np.shape(second)}, "
        msg += f"axis {axis}."
        raise UsageError(msg) from error
    found = np.full(one.shape[:-1], np.nan)
    for place in np.ndindex(found.shape):
        known = np.isfinite(one[place]) & np.isfinite(other[place])
        a, b = one[place][known], other[place][known]
        if len(a) >= max(fewest, 2) and np.ptp(a) > 0 and np.ptp(b) > 0:
            found[place] = correlation(a, b)
    return found
