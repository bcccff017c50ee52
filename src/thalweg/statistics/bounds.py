"""What no value of a quantity can be beyond, and ends of intervals that stay within it."""

import math

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError

Array = NDArray[np.float64]
Bounds = tuple[float, float]
ANYTHING: Bounds = (-math.inf, math.inf)
POSITIVE: Bounds = (0.0, math.inf)  # a ratio, a loss, a largest deviation
SHARE: Bounds = (0.0, 1.0)  # an accuracy, a fraction
CORRELATION: Bounds = (-1.0, 1.0)  # a rank correlation, a difference of two shares


def check_bounds(name: str, bounds: Bounds) -> Bounds:
    """The bounds as two numbers in order.

    Raises:
        UsageError: they are not.
    """
    try:
        low, high = (float(end) for end in bounds)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        msg = f"{name} needs bounds (low, high) with low < high, such as (0, 1); got {bounds}."
        raise UsageError(msg)
    return low, high


def ends_within(center: Array, error: Array, below: Array, above: Array, bounds: Bounds) -> tuple[Array, Array]:
    """Where reaches of so many standard errors end, on a scale on which the bounds are infinitely far away.

    By the delta method: with g(m) = m without bounds, log(m - low) with a lower one, -log(high - m) with an upper one
    and log((m - low)/(high - m)) with both, which for -1 and 1 is twice Fisher's z, the ends are
    g^-1(g(center) - below error g'(center)) and g^-1(g(center) + above error g'(center)).

    >>> import numpy as np
    >>> from thalweg.statistics.bounds import SHARE, ends_within
    >>> low, high = ends_within(np.array([0.9]), np.array([0.05]), np.array([3.0]), np.array([3.0]), SHARE)
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.63], [0.98])

    Args:
        center: the mean, within the bounds: (sets,).
        error: its standard error; where it is 0 both ends are the mean: (sets,).
        below, above: the reaches, at least 0: (sets,) each.
        bounds: what no value can be beyond.
    """
    least, most = bounds
    tiny = np.finfo(np.float64).tiny  # a mean may be rounded to a bound
    to_low, to_high = np.maximum(center - least, tiny), np.maximum(most - center, tiny)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if math.isfinite(least) and math.isfinite(most):
            # center is between: g'(m) = (most - least)/((m - least)(most - m))
            step, odds = error * (most - least) / (to_low * to_high), to_low / to_high
            low, high = (
                least + (most - least) / (1 + 1 / (odds * np.exp(side))) for side in (-below * step, above * step)
            )
        elif math.isfinite(least):
            low, high = (least + to_low * np.exp(side * error / to_low) for side in (-below, above))
        elif math.isfinite(most):
            low, high = (most - to_high * np.exp(side * error / to_high) for side in (below, -above))
        else:
            low, high = center - below * error, center + above * error
    # Rounding of the way there and back must not put an end on the wrong side of the mean.
    fixed = error == 0
    return np.where(fixed, center, np.minimum(low, center)), np.where(fixed, center, np.maximum(high, center))
