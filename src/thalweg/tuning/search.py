"""Which hyper-parameters to try: a low-discrepancy sequence, or a grid."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError


@dataclass(frozen=True)
class Range:
    """Where a hyper-parameter is looked for: from low to high, evenly in its logarithm or in itself."""

    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0) or not np.isfinite([self.low, self.high]).all():
            kind = "above 0 on a log scale, or log=False" if self.log else "finite"
            msg = f"A Range needs low < high, {kind}; got {self.low} to {self.high}."
            raise UsageError(msg)

    def at(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at these shares of the way from low (0) to high (1)."""
        if self.log:
            return np.exp(np.log(self.low) + share * (np.log(self.high) - np.log(self.low)))
        return self.low + share * (self.high - self.low)

    def share(self, value: float) -> float:
        """How far along the way a value lies."""
        if self.log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)


def halton(count: int, ranges: Mapping[str, Range], *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Points of the scrambled Halton sequence in the ranges: by name (count,) each, the i-th values going together.

    The first points of a longer search are those of a shorter one. (Halton, 1960; Bousquet et al., 2017,
    arXiv:1706.03200, for why it beats random search.)

    Raises:
        UsageError: no point or no range is asked for.
    """
    from scipy.stats import qmc

    _checked(count, ranges, "halton count")
    points = qmc.Halton(len(ranges), rng=seed).random(count)
    return {name: one.at(points[:, column]) for column, (name, one) in enumerate(ranges.items())}


def grid(count: int, ranges: Mapping[str, Range]) -> dict[str, NDArray[np.float64]]:
    """All combinations of `count` values of each range, ends included: by name (count^ranges,) each.

    Raises:
        UsageError: fewer than 2 values, or no range.
    """
    _checked(count - 1, ranges, "grid count less 1")
    each = [one.at(np.linspace(0, 1, count)) for one in ranges.values()]
    points = np.array(list(itertools.product(*each)))
    return {name: points[:, column] for column, name in enumerate(ranges)}


def _checked(count: int, ranges: Mapping[str, Range], what: str) -> None:
    if count < 1 or not ranges or not all(isinstance(one, Range) for one in ranges.values()):
        kinds = {name: type(one).__name__ for name, one in ranges.items()}
        msg = f"A search needs {what} of at least 1 and a Range for each name; got {count} and {kinds}."
        raise UsageError(msg)
