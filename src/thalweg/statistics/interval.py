"""Intervals: an estimate over seeds and how far it can be trusted, at 95 %.

Five to ten seeds are few. For a mean the percentile bootstrap is then too narrow (its coverage at n = 5 is
85 %), so means, paired differences and ratios use the studentized bootstrap, which covers 95 % for normal
values and more than Student's t for skewed ones. All draws come from a generator of a fixed seed: a verdict reproduces.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.statistics.bootstrap import (
    FEWEST_TO_RESAMPLE,
    LEVEL,
    RESAMPLES,
    Array,
    mean_bounds,
    t_bounds,
)
from thalweg.statistics.student_t import reach

__all__ = [
    "Interval",
    "bounded",
    "crossed",
    "difference",
    "fraction",
    "geometric_mean",
    "mean",
    "ratio",
    "ratio_of_times",
    "smaller",
    "units_to_clear",
]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    >>> from thalweg.statistics import Interval
    >>> print(Interval(1.25, 1.1, 1.4, 5, "made up"))
    1.25 [1.1, 1.4]

    Args:
        estimate: of the quantity.
        low: lower end; -inf where the sample bounds nothing, NaN where something was not a number.
        high: upper end.
        n: independent units it rests on (seeds, problems, trials).
        method: how it was computed, in words.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str

    def __post_init__(self) -> None:
        if self.low > self.high:
            msg = f"An interval needs low <= high; got [{self.low}, {self.high}]."
            raise UsageError(msg)

    def __str__(self) -> str:
        return f"{self:.4g}"

    def __format__(self, spec: str) -> str:
        """The estimate and both ends, each in this format, such as f"{found:.2f}"."""
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]" if spec else str(self)


def mean(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean over seeds, by the studentized bootstrap.

    low = mean - t*(97.5 %) se, high = mean - t*(2.5 %) se, with t* = (mean* - mean)/se* over resamples.
    Fewer than five values, or values so often equal that resamples have no spread, get Student's t interval; one
    value gets (-inf, inf); a value that is not finite makes everything NaN.

    >>> import thalweg as tw
    >>> print(tw.statistics.mean([1.0, 1.2, 0.9, 1.1]))
    1.05 [0.8446, 1.255]

    Args:
        values: one a seed: (seeds,).
        resamples: bootstrap draws.
        seed: of the draws.

    References:
        Efron (1981), doi:10.2307/3314608; Hall (1988), doi:10.1214/aos/1176350933.
    """
    sample = _sample("mean", values)
    n = len(sample)
    if not np.isfinite(sample).all():
        return Interval(math.nan, math.nan, math.nan, n, "mean of values that are not all finite")
    estimate = float(sample.mean())
    if n < FEWEST_TO_RESAMPLE:
        return Interval(estimate, *t_bounds(sample), n, "mean, Student's t")
    low, high = (float(end[0]) for end in mean_bounds(sample[None], resamples, seed))
    if not math.isfinite(high - low):
        return Interval(estimate, *t_bounds(sample), n, "mean, Student's t: too many values are equal to resample")
    return Interval(estimate, low, high, n, f"mean, studentized bootstrap, {resamples} resamples")


def difference(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of first - second over paired seeds: (seeds,) each, the i-th of both with the same seed.

    What the seeds share cancels; the interval is that of `mean`.

    >>> import thalweg as tw
    >>> print(tw.statistics.difference([3.0, 9.0, 5.0], [2.0, 8.1, 3.9]))
    1 [0.7516, 1.248]

    Raises:
        UsageError: not as many values of both.
    """
    a, b = _pair("difference", first, second)
    return _renamed(mean(a - b, resamples=resamples, seed=seed), "paired difference")


def ratio(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The geometric mean of first / second over paired seeds: exp(mean(log first - log second)), values > 0.

    It does not depend on units, and second / first gives the inverse; the interval is that of `mean`.

    >>> import thalweg as tw
    >>> print(tw.statistics.ratio([20.0, 42.0, 30.0], [10.0, 20.0, 16.0]))
    1.99 [1.728, 2.291]

    Raises:
        UsageError: not as many values of both, or a value that is not above 0.
    """
    a, b = _positive_pair("ratio", first, second)
    logs = mean(np.log(a) - np.log(b), resamples=resamples, seed=seed)
    ends = (_exp(logs.estimate), _exp(logs.low), _exp(logs.high))
    return _renamed(Interval(*ends, logs.n, logs.method), "geometric mean of paired ratios")


def ratio_of_times(first: ArrayLike, second: ArrayLike, limit: float) -> Interval:
    """The geometric mean of first / second over paired seeds, of times that some runs did not reach within the limit.

    Such a time, given as infinite, counts as the limit. Then the end that it may move further is open: the lower end
    is 0 where the second did not always arrive, and the upper end infinite where the first did not.

    >>> from thalweg.statistics import interval
    >>> found = interval.ratio_of_times([90, 80, float("inf")], [45, 40, 50], limit=100)
    >>> found.estimate, found.low > 1, found.high
    (2.0, True, inf)

    Args:
        first, second: such as steps to a loss: (seeds,) each, above 0.
        limit: after which runs were stopped.

    Raises:
        UsageError: a time that is not positive, or a finite one beyond the limit.
    """
    a, b = _positive_pair("ratio_of_times", first, second)
    both = np.concatenate([a, b])
    if (np.isfinite(both) & (both > limit)).any():
        msg = (
            f"Times lie within the limit, or are infinite; got one of {both[np.isfinite(both)].max():g}, of {limit:g}."
        )
        raise UsageError(msg)
    found = ratio(np.minimum(a, limit), np.minimum(b, limit))
    if np.isfinite(both).all():
        return found
    low, high = (0.0 if np.isinf(b).any() else found.low), (math.inf if np.isinf(a).any() else found.high)
    return replace(found, low=low, high=high, method=f"{found.method}, open where a run did not arrive")


def geometric_mean(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The geometric mean over seeds, exp(mean(log values)), of values above 0; see `mean`.

    >>> from thalweg.statistics import interval
    >>> print(interval.geometric_mean([2.0, 2.0, 2.0]))
    2 [2, 2]
    """
    sample = _sample("geometric_mean", values)
    found = ratio(sample, np.ones_like(sample), resamples=resamples, seed=seed)
    return replace(found, method=found.method.replace("of paired ratios", "over seeds"))


def crossed(table: ArrayLike) -> Interval:
    """The mean of a table whose rows and columns are both samples, such as seeds and test examples.

    Errors of one row share its seed, and those of one column its example, so the variance of the mean is
    s_rows^2/R + s_columns^2/C - s_cells^2/(R C), each s^2 that of the means of a row, of a column, and of cells about
    both; at least the larger of the first two. The ends are Student's with min(R, C) - 1 degrees of freedom.

    >>> import thalweg as tw
    >>> print(tw.statistics.crossed([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]))
    3 [-0.5131, 6.513]

    Args:
        table: (rows, columns), both at least 2; a value that is not finite makes everything NaN.

    References:
        Owen (2007), The pigeonhole bootstrap, arXiv:0712.1111, section 3.
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        msg = f"crossed needs a table of at least 2 rows and 2 columns; got shape {values.shape}."
        raise UsageError(msg)
    rows, columns = values.shape
    n = min(rows, columns)
    if not np.isfinite(values).all():
        return Interval(math.nan, math.nan, math.nan, n, "mean of values that are not all finite")
    mean, of_row, of_column = values.mean(), values.mean(1), values.mean(0)
    by_row, by_column = of_row.var(ddof=1) / rows, of_column.var(ddof=1) / columns
    residual = values - of_row[:, None] - of_column + mean
    by_cell = (residual**2).sum() / ((rows - 1) * (columns - 1)) / (rows * columns)
    variance = max(by_row + by_column - by_cell, by_row, by_column)
    half = reach(n) * math.sqrt(variance)
    return Interval(
        float(mean), float(mean) - half, float(mean) + half, n, f"mean over {rows} x {columns} crossed, Student's t"
    )


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
    distribution is known for which it covers less than 95 %.

    >>> from thalweg.statistics import interval
    >>> found = interval.bounded([1.0, 1.0, 1.0, 1.0], -1, 1)
    >>> found.estimate, found.low > 0, found.high
    (1.0, False, 1.0)

    Args:
        values: one a unit, each independent of the others: (units,).
        low, high: what no value can be beyond.
        draws: of the weights.
        seed: of the draws.

    References:
        Gaffke (2005); Learned-Miller & Thomas (2019), arXiv:1905.06208.
    """
    sample = (_sample("bounded", values) - low) / (high - low)
    if not ((sample >= 0) & (sample <= 1)).all():
        msg = f"Values must lie from {low:g} to {high:g}; got {np.min(values):g} to {np.max(values):g}."
        raise UsageError(msg)
    n = len(sample)
    weights = np.random.default_rng(seed).dirichlet(np.ones(n + 1), draws)
    least = np.sort(weights[:, :n] @ sample)
    most = np.sort(weights[:, :n] @ sample + weights[:, n])
    tail = round((draws + 1) * (1 - LEVEL) / 2)
    ends = float(least[tail - 1]) if sample.any() else 0.0, float(most[-tail]) if (1 - sample).any() else 1.0
    estimate, below, above = (low + (high - low) * share for share in (float(sample.mean()), *ends))
    return Interval(estimate, below, above, n, f"mean, Gaffke's interval, {draws} draws")


def units_to_clear(found: Interval, threshold: float) -> int | None:
    """About how many units would give an interval that leaves out a threshold, were the estimate to stay.

    Ends come nearer as one over the root of the number of units: n (reach / distance)^2, where reach is from the
    estimate to the end beyond the threshold. None where the threshold is left out already, or is the estimate.

    >>> from thalweg.statistics import Interval, interval
    >>> interval.units_to_clear(Interval(0.6, 0.4, 0.8, 10, "twice too wide"), 0.5)
    40
    """
    distance = found.estimate - threshold
    if not found.low <= threshold <= found.high or distance == 0:
        return None
    reach = found.estimate - (found.low if distance > 0 else found.high)
    return math.ceil(found.n * (reach / distance) ** 2)


def smaller(first: Interval, second: Interval) -> Interval:
    """An interval for the smaller of two quantities: the smaller of the two estimates, lower and upper ends.

    Its lower end is above a threshold only if both are, which happens by chance in at most 2.5 % of the cases where
    one of the quantities is not (an intersection-union test: Berger, 1982, doi:10.1080/00401706.1982.10487790).

    >>> from thalweg.statistics import Interval, interval
    >>> print(interval.smaller(Interval(1.0, 0.5, 1.5, 5, "a"), Interval(2.0, 0.1, 3.9, 5, "a")))
    1 [0.1, 1.5]
    """
    methods = dict.fromkeys((first.method, second.method))
    return Interval(
        min(first.estimate, second.estimate),
        min(first.low, second.low),
        min(first.high, second.high),
        min(first.n, second.n),
        f"the smaller of two: {'; '.join(methods)}",
    )


def _sample(name: str, values: ArrayLike) -> Array:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        msg = f"{name} needs one value a seed, shape (seeds,); got shape {sample.shape}."
        raise UsageError(msg)
    return sample


def _pair(name: str, first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    a, b = _sample(name, first), _sample(name, second)
    if len(a) != len(b):
        msg = f"{name} pairs seeds and needs as many of both; got {len(a)} and {len(b)}."
        raise UsageError(msg)
    return a, b


def _positive_pair(name: str, first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    a, b = _pair(name, first, second)
    if (a <= 0).any() or (b <= 0).any():
        msg = f"{name} needs positive values; the smallest are {a.min():g} and {b.min():g}."
        raise UsageError(msg)
    return a, b


def _renamed(interval: Interval, name: str) -> Interval:
    return replace(interval, method=interval.method.replace("mean", name, 1))


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
