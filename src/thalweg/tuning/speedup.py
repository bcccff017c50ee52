"""How many steps one rule takes for one of another, to a loss that both reach."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.results import Summarized, Table
from thalweg.results.summary import spanned
from thalweg.statistics import Interval, interval, own_choices, taken
from thalweg.training import steps_to
from thalweg.training.tables import table_of


@dataclass(frozen=True, eq=False)
class Speedup(Summarized):
    """Rules at the best rates of each scored seed, to a loss that the first of them, tuned, reaches.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> curves = {"a": np.array([1.0, 0.4, 0.2]), "b": np.array([1.0, 0.2, 0.1])}  # of one rate
    >>> tuned = {name: curve.reshape(3, 1, 1, 1) for name, curve in curves.items()}
    >>> scored = {name: curve.reshape(3, 1, 1) for name, curve in curves.items()}
    >>> found = tw.tuning.speedup([0, 10, 20], tuned, scored, rates=[0.1])
    >>> found.target.tolist(), found.never
    ([0.4], {'a': 0, 'b': 0})

    Args:
        steps: evaluated (evaluations,).
        losses: by rule, each scored seed at its own best rate (evaluations, seeds).
        rate: by rule, the best on the tuning seeds of each scored one (seeds,).
        target: what the first rule has after three quarters of the steps, on the tuning seeds of each (seeds,).
        times: by rule, steps to the target of each scored seed, infinite where it was never reached (seeds,).
    """

    steps: NDArray[np.float64]
    losses: Mapping[str, NDArray[np.float64]]
    rate: Mapping[str, NDArray[np.float64]]
    target: NDArray[np.float64]
    times: Mapping[str, NDArray[np.float64]]

    def facts(self) -> dict[str, str]:
        """The target, and how many steps every rule took to it."""
        times = {f"steps of {name}": spanned(times) for name, times in self.times.items()}
        return {"target": spanned(self.target), **times}

    def details(self) -> Table:
        """Every rule: the median of its best rates, median steps to the target, and how many seeds never reached it."""
        return Table(
            {
                "rule": list(self.times),
                "median rate": [float(np.median(rate)) for rate in self.rate.values()],
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


def speedup(
    steps: ArrayLike, tuned: Mapping[str, ArrayLike], scored: Mapping[str, ArrayLike], rates: ArrayLike
) -> Speedup:
    """Give each rule the rate soonest at the target on a scored seed's own tuning seeds, and count its steps there.

    The target of a scored seed is what the first rule has, at the best rate, after three quarters of the steps on the
    tuning seeds of that one. On these a run that never reaches it counts as twice all the steps. So no two scored
    seeds share a choice, and an interval over them also covers the doubt about the rates and the target.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> steps = np.arange(0, 101, 10)
    >>> curve = np.exp(-0.02 * steps)[:, None, None] * np.ones((2, 6))  # 2 rates; 3 scored seeds, 1 to tune for each
    >>> curves = {"a": curve, "b": curve**2}
    >>> tuned = {name: losses[..., :3, None] for name, losses in curves.items()}
    >>> scored = {name: losses[..., 3:] for name, losses in curves.items()}
    >>> found = tw.tuning.speedup(steps, tuned, scored, rates=[0.1, 1.0])
    >>> round(found.ratio("a", "b").estimate, 6)
    2.0

    Args:
        steps: evaluated, ascending: (evaluations,).
        tuned: by rule, losses on the tuning seeds of every scored one, infinite where a run diverged: (evaluations,
            rates, seeds, tuning).
        scored: by rule, the same on the scored seeds: (evaluations, rates, seeds).
        rates: that were tried: (rates,).

    Raises:
        UsageError: losses that are no such tables, or of other rules to tune than to score.
    """
    at, tried = table_of("speedup steps", steps, "evaluations"), table_of("speedup rates", rates, "rates")
    dims = ("evaluations", "rates", "seeds")
    before = {name: table_of("speedup tuned", each, *dims, "tuning seeds") for name, each in tuned.items()}
    after = {name: table_of("speedup scored", each, *dims) for name, each in scored.items()}
    if not after or list(before) != list(after):
        msg = f"speedup needs losses of the same rules to tune and to score; got {list(before)} and {list(after)}."
        raise UsageError(msg)
    seeds = next(iter(after.values())).shape[2]
    for name in after:
        if {before[name].shape[:3], after[name].shape} != {(len(at), len(tried), seeds)}:
            msg = (
                f"speedup needs losses ({len(at)} evaluations, {len(tried)} rates, seeds) to score on, and to tune on "
                f"for each of these seeds; got the shapes {after[name].shape} and {before[name].shape} of {name}."
            )
            raise UsageError(msg)
    target = next(iter(before.values()))[int(0.75 * (len(at) - 1))].mean(2).min(0)
    best, rate, times = {}, {}, {}
    for name in after:
        to_tune = np.minimum(_times(target, at, before[name]), 2 * at[-1])
        picks = own_choices(to_tune)
        rate[name] = tried[picks]
        best[name] = taken(np.moveaxis(after[name], 0, 2), picks).T
        times[name] = taken(_times(target, at, after[name]), picks)
    return Speedup(at, best, rate, target, times)


def _times(target: NDArray[np.float64], at: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps to the target of each seed: (evaluations, rates, seeds, ...) to (rates, seeds, ...)."""
    each = [
        steps_to(float(goal), at, of_seed.reshape(len(at), -1)).reshape(of_seed.shape[1:])
        for goal, of_seed in zip(target, np.moveaxis(losses, 2, 0), strict=True)
    ]
    return np.stack(each, axis=1)
