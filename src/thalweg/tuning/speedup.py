"""How many steps one rule takes for one of another, to a loss that both reach."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.results import Summarized, Table
from thalweg.results.summary import spanned
from thalweg.statistics import Interval, interval
from thalweg.training import steps_to
from thalweg.training.tables import table_of


@dataclass(frozen=True, eq=False)
class Speedup(Summarized):
    """Rules at their best rates, to a loss that the first of them, tuned, reaches.

    >>> import thalweg as tw
    >>> curves = {"a": [[[1.0, 1.0]], [[0.4, 0.4]], [[0.2, 0.2]]], "b": [[[1.0, 1.0]], [[0.2, 0.2]], [[0.1, 0.1]]]}
    >>> found = tw.tuning.speedup([0, 10, 20], curves, rates=[0.1], tuning=1)
    >>> found.target, found.never
    (0.4, {'a': 0, 'b': 0})

    Args:
        steps: evaluated (evaluations,).
        losses: by rule, at its best rate, of the scored seeds (evaluations, seeds).
        rate: by rule, the best on the tuning seeds.
        target: what the first rule has after three quarters of the steps, on the tuning seeds.
        times: by rule, steps to the target of each scored seed, infinite where it was never reached (seeds,).
    """

    steps: NDArray[np.float64]
    losses: Mapping[str, NDArray[np.float64]]
    rate: Mapping[str, float]
    target: float
    times: Mapping[str, NDArray[np.float64]]

    def facts(self) -> dict[str, str]:
        """The target, and how many steps every rule took to it."""
        times = {f"steps of {name}": spanned(times) for name, times in self.times.items()}
        return {"target": f"{self.target:.4g}", **times}

    def details(self) -> Table:
        """Every rule: its best rate, median steps to the target, and how many seeds never reached it."""
        return Table(
            {
                "rule": list(self.times),
                "rate": list(self.rate.values()),
                "median steps": [float(np.median(times)) for times in self.times.values()],
                "never": list(self.never.values()),
            }
        )

    @property
    def needed(self) -> dict[str, NDArray[np.float64]]:
        """By rule, steps to the target; all of them where it was never reached (seeds,)."""
        return {name: np.minimum(times, self.steps[-1]) for name, times in self.times.items()}

    @property
    def never(self) -> dict[str, int]:
        """By rule, how many seeds never reached the target."""
        return {name: int(np.isinf(times).sum()) for name, times in self.times.items()}

    def ratio(self, slow: str, fast: str) -> Interval:
        """Steps of one rule for one of another, over seeds; open at an end where runs did not arrive."""
        return interval.ratio_of_times(self.times[slow], self.times[fast], self.steps[-1])

    @property
    def late(self) -> Iterator[str]:
        """A sentence for each rule that did not always reach the target."""
        for name, count in self.never.items():
            if count:
                runs, steps = len(self.times[name]), self.steps[-1]
                yield f"{count} of {runs} runs of {name} did not reach the target in {steps:g} steps: that end is open."


def speedup(steps: ArrayLike, losses: Mapping[str, ArrayLike], rates: ArrayLike, *, tuning: int) -> Speedup:
    """Give each rule the rate that is soonest at the target on the tuning seeds, and count steps on the others.

    The target is what the first rule has, at its best rate, after three quarters of the steps on the tuning seeds. On
    these a run that never reaches it counts as twice all the steps.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> steps = np.arange(0, 101, 10)
    >>> curve = np.exp(-0.02 * steps)[:, None, None] * np.ones((2, 4))
    >>> found = tw.tuning.speedup(steps, {"a": curve, "b": curve**2}, rates=[0.1, 1.0], tuning=1)
    >>> round(found.ratio("a", "b").estimate, 6)
    2.0

    Args:
        steps: evaluated, ascending: (evaluations,).
        losses: by rule, (evaluations, rates, seeds) each; infinite where a run diverged.
        rates: that were tried: (rates,).
        tuning: how many of the seeds, the first ones, the rates are chosen on.

    Raises:
        UsageError: losses that are no such tables, or no seeds left to score on.
    """
    at, tried = table_of("speedup steps", steps, "evaluations"), table_of("speedup rates", rates, "rates")
    tables = {name: table_of("speedup losses", each, "evaluations", "rates", "seeds") for name, each in losses.items()}
    for name, table in tables.items():
        if table.shape[:2] != (len(at), len(tried)) or not 0 < tuning < table.shape[2]:
            msg = (
                f"speedup needs losses ({len(at)} evaluations, {len(tried)} rates, seeds), of which some are to tune "
                f"on and some to score on; got shape {table.shape} of {name} and tuning={tuning}."
            )
            raise UsageError(msg)
    first = next(iter(tables.values()))
    target = float(first[int(0.75 * (len(at) - 1)), :, :tuning].mean(1).min())
    best, rate, needed = {}, {}, {}
    for name, table in tables.items():
        times = steps_to(target, at, table.reshape(len(at), -1)).reshape(table.shape[1:])
        pick = int(np.minimum(times[:, :tuning], 2 * at[-1]).mean(1).argmin())
        best[name], rate[name], needed[name] = table[:, pick, tuning:], float(tried[pick]), times[pick, tuning:]
    return Speedup(at, best, rate, target, needed)
