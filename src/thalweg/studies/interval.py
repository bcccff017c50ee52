"""Intervals: an estimate over seeds and how far it can be trusted, at 95 %.

Five to ten seeds are few. For a mean the percentile bootstrap is then too narrow (its coverage at n = 5 is
85 %), so means, paired differences and ratios use the studentized bootstrap, which covers 95 % for normal
values and more than Student's t for skewed ones. All draws come from a generator of a fixed seed: a verdict reproduces.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from thalweg.errors import UsageError
from thalweg.studies.bootstrap import (
    FEWEST_TO_RESAMPLE,
    LEVEL,
    RESAMPLES,
    Array,
    counts,
    mean_bounds,
    studentized_points,
    t_bounds,
)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

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
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


def exact(value: float, error: float = 0.0, *, n: int = 1, method: str = "exact") -> Interval:
    """Value +- error: a deterministic quantity with a bound on its numerical error, not a sample."""
    if error < 0:
        msg = f"exact needs error >= 0, a bound on the numerical error; got {error}."
        raise UsageError(msg)
    return Interval(float(value), float(value - error), float(value + error), n, method)


def mean(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean over seeds, by the studentized bootstrap.

    low = mean - t*(97.5 %) se, high = mean - t*(2.5 %) se, with t* = (mean* - mean)/se* over resamples.
    Fewer than five values, or values so often equal that resamples have no spread, get Student's t interval; one
    value gets (-inf, inf); a value that is not finite makes everything NaN.

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
    """The mean of first - second over paired seeds: (seeds,) each, the i-th of both with the same seed."""
    a, b = _pair("difference", first, second)
    return _renamed(mean(a - b, resamples=resamples, seed=seed), "paired difference")


def ratio(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The geometric mean of first / second over paired seeds: exp(mean(log first - log second)), values > 0."""
    a, b = _positive_pair("ratio", first, second)
    logs = mean(np.log(a) - np.log(b), resamples=resamples, seed=seed)
    ends = (_exp(logs.estimate), _exp(logs.low), _exp(logs.high))
    return _renamed(Interval(*ends, logs.n, logs.method), "geometric mean of paired ratios")


def ratio_of_means(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """mean(first) / mean(second) over paired seeds, values > 0, by the studentized bootstrap of its logarithm.

    The standard error of log(mean a / mean b) is that of the mean of a / mean a - b / mean b (delta method).
    """
    a, b = _positive_pair("ratio_of_means", first, second)
    n, estimate = len(a), float(a.mean() / b.mean())
    influence = a / a.mean() - b / b.mean()
    if not math.isfinite(estimate):
        return Interval(math.nan, math.nan, math.nan, n, "ratio of means of values that are not all finite")
    if n >= FEWEST_TO_RESAMPLE:
        below, above = _log_ratio_points(a, b, resamples, seed)
        own = float(influence.std(ddof=1)) / math.sqrt(n)
        ends = (estimate * _exp(-above * own), estimate * _exp(-below * own))
        if all(map(math.isfinite, ends)):
            return Interval(estimate, *ends, n, f"ratio of means, studentized bootstrap, {resamples} resamples")
    low, high = t_bounds(influence)
    return Interval(
        estimate, estimate * _exp(low), estimate * _exp(high), n, "ratio of means, Student's t of its logarithm"
    )


def statistic(function: Callable[..., float], *samples: ArrayLike, resamples: int = 1_999, seed: int = 0) -> Interval:
    """Any statistic of rows resampled together, by the bias-corrected accelerated bootstrap (SciPy's).

    With fewer than ten rows it is too narrow: where there is one value a seed, prefer `mean`.

    Args:
        function: takes one array for each sample, with resampled rows; returns a number.
        samples: (seeds, ...) each, paired along the first axis.
        resamples: bootstrap draws; the function is called once for each, and once for each row.
        seed: of the draws.

    References:
        Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    from scipy import stats  # a second to import, and only needed here

    arrays = [np.asarray(sample) for sample in samples]
    n = len(arrays[0])
    if any(len(array) != n for array in arrays):
        msg = f"statistic needs samples of one length; got {[len(array) for array in arrays]}."
        raise UsageError(msg)

    def of_rows(rows: NDArray[np.int64]) -> float:
        return float(function(*(array[rows] for array in arrays)))

    estimate = of_rows(np.arange(n))
    if n < 2 or not math.isfinite(estimate):
        ends = (-math.inf, math.inf) if math.isfinite(estimate) else (math.nan, math.nan)
        return Interval(estimate, *ends, n, "too few values to resample")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A degenerate distribution is answered below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap((np.arange(n),), of_rows, n_resamples=resamples, vectorized=False, rng=seed)
    low, high = result.confidence_interval
    method = "BCa bootstrap"
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = np.quantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        method = "percentile bootstrap"
    return Interval(estimate, float(low), float(high), n, f"{method}, {resamples} resamples")


def proportion(successes: int, trials: int) -> Interval:
    """successes / trials by Clopper and Pearson: never covers less than 95 %, which a verdict needs more than width.

    References:
        Clopper & Pearson (1934), doi:10.1093/biomet/26.4.404.
    """
    if not 0 <= successes <= trials or trials < 1:
        msg = f"proportion needs 0 <= successes <= trials and trials >= 1; got {successes} of {trials}."
        raise UsageError(msg)
    tail = (1 - LEVEL) / 2
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return Interval(successes / trials, float(low), float(high), trials, "Clopper-Pearson")


def wins(outcomes: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The fraction of wins over problems and seeds, for other problems of their kind and other seeds.

    Problems are resampled, then seeds within each (percentiles): seeds of one problem are not independent
    evidence about others. Where every cell agrees, resampling sees no spread, and the interval is that of
    Clopper and Pearson with the problems as trials.

    Args:
        outcomes: 1 for a win, 0 for a loss, 0.5 for a tie: (problems, seeds).
        resamples: bootstrap draws.
        seed: of the draws.

    References:
        Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    table = np.asarray(outcomes, dtype=np.float64)
    if table.ndim != 2 or not table.size or not ((table >= 0) & (table <= 1)).all():
        msg = f"wins needs a (problems, seeds) table of values from 0 to 1; got shape {table.shape}."
        raise UsageError(msg)
    problems, seeds = table.shape
    if table.min() == table.max() and table[0, 0] in (0.0, 1.0):
        agreed = proportion(problems if table[0, 0] else 0, problems)
        return replace(agreed, method=f"every cell agrees: Clopper-Pearson over {problems} problems")
    generator = np.random.default_rng(seed)
    which = generator.integers(0, problems, (resamples, problems, 1))
    draws = table[which, generator.integers(0, seeds, (resamples, problems, seeds))].mean((1, 2))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    method = f"hierarchical bootstrap (problems, then seeds), {resamples} resamples"
    return Interval(float(table.mean()), float(low), float(high), problems, method)


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


def _log_ratio_points(a: Array, b: Array, resamples: int, seed: int) -> tuple[float, float]:
    """The 2.5 % and 97.5 % points of the studentized log(mean a / mean b)."""
    n = len(a)
    weights = counts(n, resamples, seed)
    mean_a, mean_b = weights @ a / n, weights @ b / n
    influence = a / mean_a[:, None] - b / mean_b[:, None]
    error = np.sqrt((weights * influence**2).sum(1) / n / (n - 1))
    shift = np.log(mean_a / mean_b) - math.log(a.mean() / b.mean())
    below, above = studentized_points(shift[:, None], error[:, None])
    return float(below[0]), float(above[0])


def _renamed(interval: Interval, name: str) -> Interval:
    return replace(interval, method=interval.method.replace("mean", name, 1))


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
