"""A rule that takes part in a comparison: its ranges, and the trials of its search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.optim import Rule, Wrapper
from thalweg.tuning.search import Range, grid, halton

Make = Callable[..., Rule | Wrapper]
SEARCHES = ("halton", "grid")
_EDGES = {"halton": 0.05, "grid": 1e-9}  # shares of a range's length within which a value lies on its end
_BEYOND = 1e-6  # shares of a range's length by which a value lies beyond its end


@dataclass(frozen=True, eq=False)
class Candidate:
    """A rule at every point of its search.

    Args:
        name: of the rule.
        make: the rule of a point.
        ranges: searched, by hyper-parameter.
        points: tried, by hyper-parameter: (trials,) each.
        trials: the rule at each point.
        edge: share of a range's length within which a value counts as lying on its end.
    """

    name: str
    make: Make
    ranges: Mapping[str, Range]
    points: Mapping[str, NDArray[np.float64]]
    trials: list[Rule | Wrapper]
    edge: float

    @classmethod
    def of(cls, name: str, entry: Any, search: str, trials: int, seed: int) -> "Candidate":
        """The candidate that `compare` was given as (rule, ranges) under a name.

        Raises:
            UsageError: it was given something else, or the rule cannot be made of numbers of these names.
        """
        what = f"compare rules[{name!r}]"
        if not (isinstance(entry, tuple) and len(entry) == 2 and callable(entry[0]) and isinstance(entry[1], Mapping)):
            msg = f'{what} must be such as (optim.SGD, {{"lr": Range(1e-3, 1)}}); got {entry!r}.'
            raise UsageError(msg)
        make, ranges = entry
        check_type(
            f"{what} ranges", ranges or None, Mapping, 'ranges by hyper-parameter, such as {"lr": Range(1e-4, 1)}'
        )
        for key, one in ranges.items():
            check_type(f"{what} ranges[{key!r}]", one, Range, "a Range such as Range(1e-4, 1)")
        points = halton(trials, ranges, seed=seed) if search == "halton" else _filled(name, trials, ranges, seed)
        rows = zip(*(values.tolist() for values in points.values()), strict=True)
        try:
            made = [make(**dict(zip(points, row, strict=True))) for row in rows]
        except TypeError as error:
            msg = f"{what} cannot be made of {', '.join(points)}: {error}."
            raise UsageError(msg) from error
        check_type(what, made[0], (Rule, Wrapper), "a rule such as optim.SGD, or what makes one")
        return cls(name, make, ranges, points, made, _EDGES[search])

    def values(self, trial: int) -> dict[str, float]:
        """The hyper-parameters of one trial."""
        return {name: float(values[trial]) for name, values in self.points.items()}

    def warnings(self, problem: str, trial: int) -> list[str]:
        """A sentence for each value of the best trial beyond which nothing was tried, on one side or the other."""
        found = []
        for name, value in self.values(trial).items():
            tried, share = self.points[name], self.ranges[name].share(value)
            where = f"The best {name} of {self.name} on {problem}, {value:.3g},"
            if len(tried) == 1:
                found.append(f"{where} is the only one tried.")
                continue
            for side, far, last, kind in (
                ("lower", share, tried.min(), "smallest"),
                ("upper", 1 - share, tried.max(), "largest"),
            ):
                if far <= self.edge and self._goes_beyond(trial, name, side):
                    found.append(f"{where} lies at the {side} end of its range: one beyond could be better.")
                elif value == last and far > _BEYOND:
                    found.append(f"{where} is the {kind} of {len(tried)} tried: one nearer to the end could be better.")
        return found

    def _goes_beyond(self, trial: int, name: str, side: str) -> bool:
        """Whether the rule takes values beyond an end of a range, as no rule takes a weight decay below 0."""
        values = self.values(trial) | {name: self.ranges[name].beyond(side, _BEYOND)}
        try:
            self.make(**values)
        except Exception:  # a function of the user's may say so in its own way
            return False
        return True


def _filled(name: str, trials: int, ranges: Mapping[str, Range], seed: int) -> dict[str, NDArray[np.float64]]:
    """A grid of as many values a side as keep to the trials, and for the trials that are left points between.

    Without these, a rule of one range would be given more trials than one of two.
    """
    side = int(trials ** (1 / len(ranges)) + 1e-9)
    if side < 2:
        msg = f"A grid over {len(ranges)} ranges needs trials of at least {2 ** len(ranges)}; {name} has {trials}."
        raise UsageError(msg)
    corners, left = grid(side, ranges), trials - side ** len(ranges)
    if not left:
        return corners
    between = halton(left, ranges, seed=seed)
    return {key: np.concatenate([corners[key], between[key]]) for key in ranges}
