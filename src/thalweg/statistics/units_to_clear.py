"""How many units would leave a threshold out of an interval, were what is estimated so."""

import math
from collections.abc import Callable

from thalweg.arguments import in_words
from thalweg.statistics import student_t
from thalweg.statistics.bounds import ANYTHING, SHARE, Bounds
from thalweg.statistics.estimate import Interval
from thalweg.statistics.means import FEWEST_TO_RESAMPLE, OF_TWO_OR_THREE

_ROUNDING = 1e-9  # of the reach: an estimate as near to the threshold is on it
_MOST = 10**9  # units, which nobody runs


@in_words
def units_to_clear(found: Interval, threshold: float, *, bounds: Bounds = ANYTHING) -> int | None:
    """About how many units give an interval that leaves out a threshold in half of all repeats, were the estimate true.

    The end beyond the threshold is t(n) s / sqrt(n) away from the estimate, with Student's t for n units (of two and
    three for 98 %), and s kept: on the scale on which the bounds are infinitely far away, as `mean` has it. A
    proportion is asked for Clopper and Pearson's end at the same share of ever more units.

    >>> from thalweg.statistics import SHARE, Interval, interval, units_to_clear
    >>> units_to_clear(Interval(0.6, 0.4, 0.8, 1_000, "twice too wide"), 0.5)
    3993
    >>> units_to_clear(interval.fraction([1, 1, 1, 1]), 0.5, bounds=SHARE)
    6

    Args:
        found: an interval with the threshold inside.
        threshold: to be left out.
        bounds: what no value of the quantity can be beyond.

    Returns:
        units in all, not further ones; None where there is no such number: where the estimate lies on the threshold,
        the threshold is left out already, the end beyond it is open, or there is no interval.
    """
    if not found.known or not found.n or not found.low <= threshold <= found.high or found.low == found.high:
        return None
    end = found.low if found.estimate > threshold else found.high
    if abs(found.estimate - threshold) <= _ROUNDING * abs(found.estimate - end):
        return None
    return (_of_proportion if found.proportion else _by_root_law)(found, threshold, end, bounds)


def _by_root_law(found: Interval, threshold: float, end: float, bounds: Bounds) -> int | None:
    """The fewest N with t(N) / sqrt(N) at most t(n) / sqrt(n) times distance / reach."""
    center, cut, reached = (_unbounded(value, bounds) for value in (found.estimate, threshold, end))
    if not all(map(math.isfinite, (center, cut, reached))):
        return None
    narrower = abs(cut - center) / abs(reached - center)
    most = found.n / narrower**2
    if most > _MOST or found.n < 2:
        return math.ceil(min(most, _MOST))
    return _fewest(lambda units: _width(units) <= _width(found.n) * narrower, found.n, math.ceil(most))


def _of_proportion(found: Interval, threshold: float, end: float, bounds: Bounds) -> int | None:
    """The fewest N whose Clopper and Pearson's interval, of N times the share found, leaves out the threshold."""
    from scipy import special  # here, for it takes longer to load than all that draws needs

    least, most = bounds if math.isfinite(bounds[1] - bounds[0]) else SHARE
    share, cut = ((value - least) / (most - least) for value in (found.estimate, threshold))
    if not 0 < cut < 1:
        return None
    tail = (1 - student_t.LEVEL) / 2

    def clears(units: int) -> bool:
        hits = units * share
        if end < threshold:
            return float(special.betaincinv(hits, units - hits + 1, tail)) > cut
        return float(special.betaincinv(hits + 1, units - hits, 1 - tail)) < cut

    enough = found.n
    while not clears(enough):
        enough *= 2
        if enough > _MOST:
            return _MOST
    return _fewest(clears, found.n, enough)


def _fewest(enough: Callable[[int], bool], low: int, high: int) -> int:
    """The least number from low to high that is enough, where all above it are and high is."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _width(units: int) -> float:
    """How many standard deviations the interval of a mean of so many units reaches."""
    level = student_t.LEVEL if units >= FEWEST_TO_RESAMPLE else OF_TWO_OR_THREE
    return student_t.reach(units, level) / math.sqrt(units)


def _unbounded(value: float, bounds: Bounds) -> float:
    """The value on a scale on which the bounds are infinitely far away."""
    least, most = bounds
    below = math.log(value - least) if value > least else -math.inf
    above = math.log(most - value) if value < most else -math.inf
    if math.isfinite(least):
        return below - above if math.isfinite(most) else below
    return -above if math.isfinite(most) else value
