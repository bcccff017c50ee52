"""Values that an interval can be about, and what is said of others."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.statistics.bounds import Bounds
from thalweg.statistics.estimate import Interval

Array = NDArray[np.float64]
FEWEST_DRAWS = 39  # of which the least and the most are the 2.5 % and 97.5 % points


def without_interval(sample: Array, bounds: Bounds) -> Interval | None:
    """What is said of values of which there is no interval whatever the method: not finite, or one alone."""
    n = len(sample)
    if not np.isfinite(sample).all():
        return Interval(math.nan, math.nan, math.nan, n, "mean of values that are not all finite")
    if n > 1:
        return None
    check_within("mean", sample, bounds)
    return Interval(float(sample[0]), math.nan, math.nan, n, "mean of one value, which has no interval")


def numbers(name: str, values: ArrayLike) -> Array:
    """The values as an array of any shape.

    Raises:
        UsageError: some are no numbers.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{name} needs numbers, one a seed, such as [0.9, 0.8, 0.7]; got {values!r:.200}."
        raise UsageError(msg) from error


def check_draws(name: str, option: str, count: int) -> None:
    """Raise UsageError where the draws are too few for ends; `option` is what they are called."""
    if not isinstance(count, int | np.integer) or count < FEWEST_DRAWS:
        msg = f"{name} needs at least {option}={FEWEST_DRAWS}, the fewest that have 2.5 % at either side; "
        msg += f"got {option}={count}."
        raise UsageError(msg)


def sample_of(name: str, values: ArrayLike) -> Array:
    """One value a seed: (seeds,).

    Raises:
        UsageError: another shape, or no numbers.
    """
    sample = numbers(name, values)
    if sample.ndim != 1 or not len(sample):
        msg = f"{name} needs one value a seed, shape (seeds,); got shape {sample.shape}."
        raise UsageError(msg)
    return sample


def check_within(name: str, sample: Array, bounds: Bounds) -> None:
    """Raise UsageError where a value is beyond the bounds."""
    low, high = bounds
    if not ((sample >= low) & (sample <= high)).all():
        msg = f"{name} with the bounds {low:g} to {high:g} needs values that lie from {low:g} to {high:g}; "
        msg += f"got {np.min(sample):g} to {np.max(sample):g}."
        raise UsageError(msg)


def pair(name: str, first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """Two values a seed: (seeds,) each.

    Raises:
        UsageError: not as many of both, or what `sample_of` refuses.
    """
    a, b = sample_of(name, first), sample_of(name, second)
    if len(a) != len(b):
        msg = f"{name} pairs seeds and needs as many of both; got {len(a)} and {len(b)}."
        raise UsageError(msg)
    return a, b


def positive_pair(name: str, first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """The same of values above 0.

    Raises:
        UsageError: one is not, or what `pair` refuses.
    """
    a, b = pair(name, first, second)
    if (a <= 0).any() or (b <= 0).any():
        msg = f"{name} needs positive values; the smallest are {a.min():g} and {b.min():g}."
        raise UsageError(msg)
    return a, b
