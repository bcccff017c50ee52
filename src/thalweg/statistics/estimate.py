"""An estimate with its interval."""

import math
from dataclasses import dataclass, replace

from thalweg.errors import UsageError


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    >>> from thalweg.statistics import Interval
    >>> print(Interval(1.25, 1.1, 1.4, 5, "made up"))
    1.25 [1.1, 1.4]

    Args:
        estimate: of the quantity.
        low: lower end; -inf where the sample bounds nothing there; NaN where there is no interval, which is so of one
            value, and where something was not a number.
        high: upper end.
        n: independent units it rests on (seeds, problems, trials).
        method: how it was computed, in words.
        proportion: whether it is about how many units are at one of two bounds, all others being at the other.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str
    proportion: bool = False

    def __post_init__(self) -> None:
        for name in ("estimate", "low", "high"):  # of NumPy's, comparisons are no Python bool, which JSON needs
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.low > self.high:
            msg = f"An interval needs low <= high; got [{self.low}, {self.high}]."
            raise UsageError(msg)

    @classmethod
    def missing(cls, why: str) -> "Interval":
        """That of what was not measured, which rests on nothing.

        >>> from thalweg.statistics import Interval
        >>> print(Interval.missing("not run at this scale"))
        none
        """
        return cls(math.nan, math.nan, math.nan, 0, why)

    @property
    def known(self) -> bool:
        """Whether there is an interval: of one value, and of what is not a number, there is none.

        >>> import thalweg as tw
        >>> one = tw.statistics.mean([0.9])
        >>> one.known, print(one)
        0.9 (no interval)
        (False, None)
        """
        return not (math.isnan(self.low) or math.isnan(self.high))

    def opened(self, *, low: float | None = None, high: float | None = None) -> "Interval":
        """The same with ends that lie further out, such as where a run did not arrive; nothing opens where none is."""
        if not self.known:
            return self
        return replace(self, low=self.low if low is None else low, high=self.high if high is None else high)

    @property
    def without_rounding(self) -> "Interval":
        """The same as it is shown: an estimate that rounding left of equal numbers, deep inside the interval, is 0.

        >>> from thalweg.statistics import Interval
        >>> Interval(2e-15, -2.4, 1.2, 5, "made up").without_rounding.estimate
        0.0
        """
        inside = -math.inf < self.low < 0 < self.high < math.inf
        left = inside and abs(self.estimate) < 1e-12 * min(-self.low, self.high)
        return replace(self, estimate=0.0) if left else self

    def __str__(self) -> str:
        return f"{self:.4g}"

    def __format__(self, spec: str) -> str:
        """The estimate and both ends, each in this format, such as f"{found:.2f}"; "none" where there is none."""
        if not spec:
            return str(self)
        if self.n == 0 and math.isnan(self.estimate):
            return "none"
        shown = self.without_rounding
        ends = f"[{shown.low:{spec}}, {shown.high:{spec}}]" if self.known else "(no interval)"
        return f"{shown.estimate:{spec}} {ends}"
