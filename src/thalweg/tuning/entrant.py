"""A rule that takes part in a comparison: its ranges, and the trials of its search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.optim import Around, Rule
from thalweg.tuning.search import Range, grid, halton

Make = Callable[..., Rule | Around]
SEARCHES = ("halton", "grid")
_EDGES = {"halton": 0.05, "grid": 1e-9}  # shares of a range's length within which a value lies on its end


@dataclass(frozen=True, eq=False)
class Entrant:
    """A rule at every point of its search.

    Args:
        name: of the rule.
        ranges: searched, by hyper-parameter.
        points: tried, by hyper-parameter: (trials,) each.
        trials: the rule at each point.
        edge: share of a range's length within which a value counts as lying on its end.
    """

    name: str
    ranges: Mapping[str, Range]
    points: Mapping[str, NDArray[np.float64]]
    trials: list[Rule | Around]
    edge: float

    @classmethod
    def of(cls, name: str, entry: Any, search: str, trials: int, seed: int) -> "Entrant":
        """The entrant that `compare` was given as (rule, ranges) under a name.

        Raises:
            UsageError: it was given something else, or the rule cannot be made of numbers of these names.
        """
        if not (isinstance(entry, tuple) and len(entry) == 2 and callable(entry[0]) and isinstance(entry[1], Mapping)):
            msg = f'compare rules[{name!r}] must be such as (optim.SGD, {{"lr": Range(1e-3, 1)}}); got {entry!r}.'
            raise UsageError(msg)
        make, ranges = entry
        points = halton(trials, ranges, seed=seed) if search == "halton" else grid(_side(name, ranges, trials), ranges)
        rows = zip(*(values.tolist() for values in points.values()), strict=True)
        try:
            made = [make(**dict(zip(points, row, strict=True))) for row in rows]
        except TypeError as error:
            msg = f"compare rules[{name!r}] cannot be made of {', '.join(points)}: {error}."
            raise UsageError(msg) from error
        check_type(f"compare rules[{name!r}]", made[0], (Rule, Around), "a rule such as optim.SGD, or what makes one")
        return cls(name, ranges, points, made, _EDGES[search])

    def values(self, trial: int) -> dict[str, float]:
        """The hyper-parameters of one trial."""
        return {name: float(values[trial]) for name, values in self.points.items()}

    def warnings(self, problem: str, trial: int, loss: float) -> list[str]:
        """A sentence for each value of the best trial near the end of its range, or for a search that only diverged."""
        where = f"{self.name} on {problem}"
        if not np.isfinite(loss):
            return [f"Every trial of {where} diverged with some seed: search smaller values."]
        best = self.values(trial)
        shares = {name: one.share(best[name]) for name, one in self.ranges.items()}
        return [
            f"The best {name} of {where}, {best[name]:.3g}, lies at the {'lower' if share < 0.5 else 'upper'} end of "
            "its range: one beyond could be better."
            for name, share in shares.items()
            if not self.edge < share < 1 - self.edge
        ]


def _side(name: str, ranges: Mapping[str, Range], trials: int) -> int:
    """How many values of each range a grid of at most so many trials has."""
    side = int(trials ** (1 / max(len(ranges), 1)) + 1e-9)
    if side < 2:
        msg = f"A grid over {len(ranges)} ranges needs trials of at least {2 ** len(ranges)}; {name} has {trials}."
        raise UsageError(msg)
    return side
