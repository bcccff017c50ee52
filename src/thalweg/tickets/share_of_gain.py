"""What part of one gain another one is: a ratio of means over paired seeds."""

import math

import numpy as np
from numpy.typing import ArrayLike

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.statistics import Interval, student_t


@in_words
def share_of_gain(part: ArrayLike, whole: ArrayLike) -> Interval:
    """mean(part) / mean(whole) over paired seeds, with Fieller's interval: all r for which part - r whole may be 0.

        |mean(part - r whole)| <= t se(part - r whole)

    Such as what of a mask's gain is left on another task. Where the whole itself may be 0, the share has no bounds.

    >>> import thalweg as tw
    >>> print(tw.tickets.share_of_gain([0.5, 0.6, 0.4, 0.5], [1.0, 1.1, 0.9, 1.0]))
    0.5 [0.4253, 0.5575]

    Args:
        part, whole: one a seed: (seeds,) each.

    Raises:
        UsageError: not as many of both.

    Source: Fieller, 1954, doi:10.1111/j.2517-6161.1954.tb00159.x.
    """
    a, b = (np.asarray(one, dtype=np.float64) for one in (part, whole))
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        msg = f"share_of_gain pairs seeds and needs as many of both; got shapes {a.shape} and {b.shape}."
        raise UsageError(msg)
    n, method = len(a), "ratio of means, Fieller's interval"
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or b.mean() == 0:
        return Interval(math.nan, math.nan, math.nan, n, f"{method} of values without one")
    estimate = float(a.mean() / b.mean())
    if n == 1:
        return Interval(estimate, math.nan, math.nan, n, f"{method}, of one seed")
    (var_a, cov), (_, var_b) = np.cov(a, b) / n
    t = student_t.reach(n)
    # (mean_b^2 - t^2 var_b) r^2 - 2 (mean_a mean_b - t^2 cov) r + mean_a^2 - t^2 var_a <= 0
    square = b.mean() ** 2 - t**2 * var_b
    middle = a.mean() * b.mean() - t**2 * cov
    rest = a.mean() ** 2 - t**2 * var_a
    if square <= 0:
        return Interval(estimate, -math.inf, math.inf, n, f"{method}, without bounds: the whole may be 0")
    root = math.sqrt(max(middle**2 - square * rest, 0.0))
    return Interval(estimate, float((middle - root) / square), float((middle + root) / square), n, method)
