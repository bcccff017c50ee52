"""Intervals: an estimate over seeds and how far it can be trusted, at 95 %.

Five to ten seeds are few; what each interval covers of 3 to 20 is in docs/coverage.md. Which one to take depends on the
quantity: `mean`, with its bounds where it has some; `ratio` and `geometric_mean` for positive quantities that vary by
factors; `fraction` and `bounded` where values pile up at the bounds or come in two kinds; `crossed` where test examples
are a sample as seeds are. Values that all agree say nothing of how much they vary: between two bounds they leave the
doubt of the worst case, and else there is no interval. All draws come from a generator of a fixed seed: a verdict
reproduces.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.statistics.bootstrap import RESAMPLES
from thalweg.statistics.bounds import ANYTHING, CORRELATION, POSITIVE, SHARE, Bounds, check_bounds
from thalweg.statistics.estimate import Interval
from thalweg.statistics.gaffke import gaffke_ends
from thalweg.statistics.means import FEWEST_TO_RESAMPLE, ROUNDING, alike, mean_ends, reaches
from thalweg.statistics.samples import (
    check_draws,
    check_within,
    numbers,
    pair,
    positive_pair,
    sample_of,
    without_interval,
)
from thalweg.statistics.student_t import reach

__all__ = [
    "ANYTHING",
    "CORRELATION",
    "POSITIVE",
    "SHARE",
    "Bounds",
    "Interval",
    "bounded",
    "crossed",
    "difference",
    "fraction",
    "geometric_mean",
    "mean",
    "ratio",
    "ratio_of_times",
]

AGREE = "mean of values that all agree, which say nothing of how much they vary"


def mean(values: ArrayLike, *, bounds: Bounds = ANYTHING, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean over seeds, with an interval that stays within the bounds of the quantity.

    low = mean - r_low se, high = mean + r_high se, where the reaches r are those of the studentized bootstrap, at least
    Student's t and at most twice that; of two or three values Student's t for 98 %. With bounds the same after the
    logarithm of the distance to the bound, or of the odds between two of them (Fisher's z for -1 to 1), and no farther
    out than `bounded` between two. Values that all agree, but for rounding, have no interval, and between two bounds
    leave the doubt that `bounded` does. One value has no interval; a value that is not finite makes everything NaN.

    >>> import thalweg as tw
    >>> print(tw.statistics.mean([1.0, 1.2, 0.9, 1.1]))
    1.05 [0.8264, 1.274]
    >>> print(tw.statistics.mean([0.99, 0.97, 1.0, 0.96], bounds=tw.statistics.SHARE))
    0.98 [0.8133, 0.9956]

    Args:
        values: one a seed: (seeds,).
        bounds: what no value can be beyond, such as SHARE, (0, 1); they make ends honest for skewed values.
        resamples: bootstrap draws, at least 39.
        seed: of the draws.

    Raises:
        UsageError: no values, one that is no number or beyond the bounds, or too few draws.

    References:
        Efron (1981), doi:10.2307/3314608; Hall (1988), doi:10.1214/aos/1176350933.
    """
    sample, within = sample_of("mean", values), check_bounds("mean", bounds)
    check_draws("mean", "resamples", resamples)
    n = len(sample)
    if (none := without_interval(sample, within)) is not None:
        return none
    check_within("mean", sample, within)
    estimate = float(sample.mean())
    if not all(map(math.isfinite, within)) and alike(sample[None])[0]:
        return Interval(estimate, math.nan, math.nan, n, AGREE)
    low, high = (float(end[0]) for end in mean_ends(sample[None], resamples, seed, bounds=within))
    t = "mean, Student's t"
    method = f"{t} for 98 %" if n < FEWEST_TO_RESAMPLE else f"{t} to twice its reach by {resamples} resamples"
    within_words = "" if within == ANYTHING else f", within {within[0]:g} to {within[1]:g}"
    return Interval(estimate, low, high, n, method + within_words, proportion=bool(np.isin(sample, within).all()))


def difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    bounds: Bounds = ANYTHING,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of first - second over paired seeds: (seeds,) each, the i-th of both with the same seed.

    What the seeds share cancels; the interval is that of `mean`, with the bounds of the difference.

    >>> import thalweg as tw
    >>> print(tw.statistics.difference([3.0, 9.0, 5.0], [2.0, 8.1, 3.9]))
    1 [0.5979, 1.402]

    Raises:
        UsageError: not as many values of both, or a difference beyond the bounds.
    """
    a, b = pair("difference", first, second)
    return _renamed(mean(a - b, bounds=bounds, resamples=resamples, seed=seed), "paired difference")


def ratio(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The geometric mean of first / second over paired seeds: exp(mean(log first - log second)), values > 0.

    It does not depend on units, and second / first gives the inverse; the interval is that of `mean`.

    >>> import thalweg as tw
    >>> print(tw.statistics.ratio([20.0, 42.0, 30.0], [10.0, 20.0, 16.0]))
    1.99 [1.583, 2.5]

    Raises:
        UsageError: not as many values of both, or a value that is not above 0.
    """
    a, b = positive_pair("ratio", first, second)
    logs = mean(np.log(a) - np.log(b), resamples=resamples, seed=seed)
    ends = (_exp(logs.estimate), _exp(logs.low), _exp(logs.high))
    if np.isfinite(ends).all() and alike(np.array([ends[1:]]))[0]:  # near 1 rounding is large beside a logarithm
        ends = (_exp(logs.estimate), math.nan, math.nan)
        logs = replace(logs, method=AGREE)
    return _renamed(Interval(*ends, logs.n, logs.method), "geometric mean of paired ratios")


def ratio_of_times(first: ArrayLike, second: ArrayLike, limit: float) -> Interval:
    """The geometric mean of first / second over paired seeds, of times that some runs did not reach within the limit.

    Such a time, given as infinite, counts as the limit. Then the end that it may move further is open: the lower end
    is 0 where the second did not always arrive, and the upper end infinite where the first did not.

    >>> from thalweg.statistics import interval
    >>> found = interval.ratio_of_times([90, 88, float("inf")], [45, 40, 50], limit=100)
    >>> round(found.estimate, 3), found.low > 1, found.high
    (2.065, True, inf)

    Args:
        first, second: such as steps to a loss: (seeds,) each, above 0.
        limit: after which runs were stopped.

    Raises:
        UsageError: a time that is not positive, or a finite one beyond the limit.
    """
    a, b = positive_pair("ratio_of_times", first, second)
    both = np.concatenate([a, b])
    if (np.isfinite(both) & (both > limit)).any():
        msg = (
            f"Times lie within the limit, or are infinite; got one of {both[np.isfinite(both)].max():g}, of {limit:g}."
        )
        raise UsageError(msg)
    found = ratio(np.minimum(a, limit), np.minimum(b, limit))
    if np.isfinite(both).all():
        return found
    found = found.opened(low=0.0 if np.isinf(b).any() else None, high=math.inf if np.isinf(a).any() else None)
    return replace(found, method=f"{found.method}, open where a run did not arrive")


def geometric_mean(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The geometric mean over seeds, exp(mean(log values)), of values above 0; see `mean`.

    >>> from thalweg.statistics import interval
    >>> print(interval.geometric_mean([2.0, 2.2, 1.9]))
    2.03 [1.505, 2.737]
    """
    sample = sample_of("geometric_mean", values)
    found = ratio(sample, np.ones_like(sample), resamples=resamples, seed=seed)
    return replace(found, method=found.method.replace("of paired ratios", "over seeds"))


def crossed(table: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of a table whose rows and columns are both samples, such as seeds and test examples.

    Errors of one row share its seed, and those of one column its example, so the variance of the mean is
    s_rows^2/R + s_columns^2/C - s_cells^2/(R C), each s^2 that of the means of a row, of a column, and of cells about
    both; at least the larger of the first two. The ends reach as many of these standard errors as those of `mean` over
    rows, or over columns where they are fewer.

    >>> import thalweg as tw
    >>> print(tw.statistics.crossed([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]))
    3 [-2.687, 8.687]

    Args:
        table: (rows, columns), both at least 2; a value that is not finite makes everything NaN, and where all cells
            agree, or all means of rows and of columns, there is no interval.
        resamples: bootstrap draws, at least 39.
        seed: of the draws.

    Raises:
        UsageError: no such table, or too few draws.

    References:
        Owen (2007), The pigeonhole bootstrap, arXiv:0712.1111, section 3.
    """
    values = numbers("crossed", table)
    check_draws("crossed", "resamples", resamples)
    if values.ndim != 2 or min(values.shape) < 2:
        msg = f"crossed needs a table of at least 2 rows and 2 columns; got shape {values.shape}."
        raise UsageError(msg)
    rows, columns = values.shape
    n = min(rows, columns)
    if not np.isfinite(values).all():
        return Interval(math.nan, math.nan, math.nan, n, "mean of values that are not all finite")
    mean, of_row, of_column = values.mean(), values.mean(1), values.mean(0)
    if max(np.ptp(of_row), np.ptp(of_column)) <= ROUNDING * np.abs(values).max():
        return Interval(float(mean), math.nan, math.nan, n, AGREE)
    by_row, by_column = of_row.var(ddof=1) / rows, of_column.var(ddof=1) / columns
    residual = values - of_row[:, None] - of_column + mean
    by_cell = (residual**2).sum() / ((rows - 1) * (columns - 1)) / (rows * columns)
    variance = max(by_row + by_column - by_cell, by_row, by_column)
    fewer = of_row if rows <= columns else of_column
    (below,), (above,) = reaches(fewer[None], resamples, seed) if np.ptp(fewer) > 0 else ([reach(n)], [reach(n)])
    error = math.sqrt(variance)
    low, high = float(mean - below * error), float(mean + above * error)
    return Interval(float(mean), low, high, n, f"mean over {rows} x {columns} crossed, Student's t to twice its reach")


def fraction(values: ArrayLike, *, draws: int = 99_999, seed: int = 0) -> Interval:
    """The mean over units of a fraction in [0, 1], such as the share of seeds that a method wins on a problem.

    See `bounded`. Where every value is 0 or 1 this is the interval of Clopper and Pearson.

    >>> from thalweg.statistics import interval
    >>> interval.fraction([1, 1, 1, 1, 1]).high
    1.0
    """
    return _renamed(bounded(values, 0, 1, draws=draws, seed=seed), "mean of fractions")


def bounded(values: ArrayLike, low: float, high: float, *, draws: int = 99_999, seed: int = 0) -> Interval:
    """The mean of values that cannot lie outside of low to high, such as rank correlations in -1 to 1.

    The bootstrap sees no doubt where units happen to agree. This one adds to the n values the worst one possible, low
    for the lower end and high for the upper, and weights all n + 1 at random, D ~ Dirichlet(1, ..., 1):
    the ends are the 2.5 % point of sum D_i x_i + D_(n+1) low, and the 97.5 % point of sum D_i x_i + D_(n+1) high. No
    distribution is known for which it covers less than 95 %. One value has no interval; a value that is not finite
    makes everything NaN.

    >>> from thalweg.statistics import interval
    >>> found = interval.bounded([1.0, 1.0, 1.0, 1.0], -1, 1)
    >>> found.estimate, found.low > 0, found.high
    (1.0, False, 1.0)

    Args:
        values: one a unit, each independent of the others: (units,).
        low, high: what no value can be beyond.
        draws: of the weights, at least 39.
        seed: of the draws.

    Raises:
        UsageError: no values, one that is no number or beyond the bounds, or too few draws.

    References:
        Gaffke (2005); Learned-Miller & Thomas (2019), arXiv:1905.06208.
    """
    sample, within = sample_of("bounded", values), check_bounds("bounded", (low, high))
    check_draws("bounded", "draws", draws)
    if (none := without_interval(sample, within)) is not None:
        return none
    check_within("bounded", sample, within)
    least, most = (float(end[0]) for end in gaffke_ends((sample[None] - low) / (high - low), draws, seed))
    below, above = (low + (high - low) * share for share in (least, most))
    method, at_bounds = f"mean, Gaffke's interval, {draws} draws", bool(np.isin(sample, within).all())
    return Interval(float(sample.mean()), below, above, len(sample), method, proportion=at_bounds)


def _renamed(interval: Interval, name: str) -> Interval:
    return replace(interval, method=interval.method.replace("mean", name, 1))


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
