"""The largest learning rate at which a network trains, read off a grid of rates."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.results import Summarized
from thalweg.results.summary import spanned
from thalweg.statistics import Interval, interval

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LargestRate(Summarized):
    """The largest learning rate that trains, seed by seed; made by `largest_rate`.

    >>> import thalweg as tw
    >>> found = tw.tuning.largest_rate([1.0, 2.0, 4.0], [[1.0, 1.0], [1.0, 3.0], [3.0, 3.0]], threshold=2.0)
    >>> round(found.typical, 3)
    2.0

    Args:
        rates: interpolated between rates of the grid, and its end where the grid does not reach (seeds,).
        beyond: where even the largest rate tried trains (seeds,).
        none: where no rate does (seeds,).
    """

    rates: Array
    beyond: NDArray[np.bool_]
    none: NDArray[np.bool_]

    def facts(self) -> dict[str, str]:
        """The typical rate, and those of the seeds."""
        return {"typical": f"{self.typical:.4g}", "seeds": f"{len(self.rates)}, {spanned(self.rates)}"}

    def remarks(self) -> tuple[str, ...]:
        """The warnings."""
        return self.warnings

    @property
    def warnings(self) -> tuple[str, ...]:
        """Clauses that say where the grid of rates ended too early, such as "no rate trains for 1 of 5 seeds ..."."""
        sides = {"the largest rate tried still": self.beyond, "no rate": self.none}
        return tuple(
            f"{which} trains for {seeds.sum()} of {len(seeds)} seeds: the grid ends too early there."
            for which, seeds in sides.items()
            if seeds.any()
        )

    @property
    def typical(self) -> float:
        """The geometric mean over seeds."""
        return float(np.exp(np.log(self.rates).mean()))

    def over(self, other: "LargestRate") -> Interval:
        """How many times as large as another's, over paired seeds; an end is open where the grid did not reach."""
        found = interval.ratio(self.rates, other.rates)
        least = bool(self.none.any() or other.beyond.any())
        most = bool(self.beyond.any() or other.none.any())
        method = f"{found.method}, open where the grid of rates ends" if least or most else found.method
        return replace(found.opened(low=0.0 if least else None, high=math.inf if most else None), method=method)


@in_words
def largest_rate(rates: ArrayLike, losses: ArrayLike, threshold: float) -> LargestRate:
    """Where the final loss rises above a threshold for the last time, linear in the logarithm of the rate.

    Between the last rate lr_i that trains and the next, lr = lr_i (lr_(i+1) / lr_i)^s with
    s = (threshold - loss_i) / (loss_(i+1) - loss_i).

    >>> import thalweg as tw
    >>> tw.tuning.largest_rate([1.0, 4.0], [[1.0], [3.0]], threshold=2.0).rates.tolist()
    [2.0]

    Args:
        rates: the grid, positive and ascending (rates,).
        losses: at the end of training, finite: (rates, seeds); of a run that diverged, say, the loss before training.
        threshold: a run trains if its loss is below.

    Raises:
        UsageError: rates that do not ascend, or losses that are not finite or of another shape.
    """
    grid, table = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    if grid.ndim != 1 or not (grid > 0).all() or not (np.diff(grid) > 0).all():
        msg = f"largest_rate needs positive rates in ascending order; got {grid.tolist()}."
        raise UsageError(msg)
    if table.ndim != 2 or len(table) != len(grid) or not np.isfinite(table).all():
        what = f"shape {table.shape}, {np.isfinite(table).sum()} of {table.size} values finite"
        msg = f"largest_rate needs finite losses (rates, seeds) with {len(grid)} rates; got {what}."
        raise UsageError(msg)
    trains = table < threshold
    none, beyond = ~trains.any(0), trains[-1]
    last = np.where(none, 0, len(grid) - 1 - trains[::-1].argmax(0))
    after = np.minimum(last + 1, len(grid) - 1)
    seeds = np.arange(table.shape[1])
    low, high = table[last, seeds], table[after, seeds]
    inside = ~(none | beyond)
    part = np.where(inside, (threshold - low) / np.where(inside, high - low, 1), 0)
    return LargestRate(grid[last] * (grid[after] / grid[last]) ** part, np.asarray(beyond), np.asarray(none))
