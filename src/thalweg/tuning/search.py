"""Which hyper-parameters to try, by a low-discrepancy sequence or on a grid, and how trials become one population."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type
from thalweg.sweep import Sweep, plain, values

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Where a hyper-parameter is looked for: from low to high, evenly in its logarithm or in itself.

    >>> import thalweg as tw
    >>> tw.tuning.grid(3, {"lr": tw.tuning.Range(0.01, 1)})["lr"].round(6).tolist()
    [0.01, 0.1, 1.0]

    Args:
        low, high: the ends, both included; above 0 on a log scale.
        log: whether equal ratios count as equal distances, or equal differences do.

    Raises:
        UsageError: ends that are not finite, do not ascend, or have no logarithm.
    """

    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, plain(getattr(self, name)))
            check_type(f"Range {name}", getattr(self, name), (int, float), "a number")
        check_type("Range log", self.log, bool, "True or False")
        if not self.low < self.high or (self.log and self.low <= 0) or not np.isfinite([self.low, self.high]).all():
            kind = "above 0 on a log scale, or log=False" if self.log else "finite"
            msg = f"A Range needs low < high, {kind}; got {self.low} to {self.high}."
            raise UsageError(msg)

    def at(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at these shares of the way from low (0) to high (1), never beyond either."""
        if self.log:
            found = np.exp(np.log(self.low) + share * (np.log(self.high) - np.log(self.low)))
        else:
            found = self.low + share * (self.high - self.low)
        inside = np.clip(found, self.low, self.high)
        return np.where(share <= 0, self.low, np.where(share >= 1, self.high, inside))

    def beyond(self, side: str, share: float) -> float:
        """A value beyond the "lower" or the "upper" end, by a share of the way."""
        ends = (self.low, self.high) if side == "lower" else (self.high, self.low)
        if self.log:
            return float(ends[0] * (ends[0] / ends[1]) ** share)
        return ends[0] + share * (ends[0] - ends[1])

    def share(self, value: float) -> float:
        """How far along the way a value lies."""
        if self.log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)


@in_words
def halton(count: int, ranges: Mapping[str, Range], *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Points of the scrambled Halton sequence in the ranges: by name (count,) each, the i-th values going together.

    The first points of a longer search are those of a shorter one. Given to a rule as they are,
    `optim.AdamW(**halton(15, ranges))`, they are one member a point.

    >>> import thalweg as tw
    >>> points = tw.tuning.halton(4, {"lr": tw.tuning.Range(1e-4, 1)})["lr"]
    >>> points.shape, bool((points >= 1e-4).all() and (points <= 1).all())
    ((4,), True)

    Args:
        count: how many points.
        ranges: by hyper-parameter.
        seed: of the scrambling.

    Raises:
        UsageError: no point or no range is asked for, or a seed that is no whole number of at least 0.

    References:
        Halton (1960), doi:10.1007/BF01386213; Bousquet et al. (2017), arXiv:1706.03200, for why it beats random search.
    """
    from scipy.stats import qmc

    count, seed = plain(count), plain(seed)
    _check("halton", count, 1, ranges)
    check_count("halton seed", seed, 0)
    points = qmc.Halton(len(ranges), rng=seed).random(count)
    return {name: one.at(points[:, column]) for column, (name, one) in enumerate(ranges.items())}


@in_words
def grid(count: int, ranges: Mapping[str, Range]) -> dict[str, NDArray[np.float64]]:
    """All combinations of `count` values of each range, ends included: by name (count^ranges,) each.

    >>> import thalweg as tw
    >>> found = tw.tuning.grid(2, {"lr": tw.tuning.Range(0.01, 1), "momentum": tw.tuning.Range(0, 0.9, log=False)})
    >>> found["lr"].tolist(), found["momentum"].tolist()
    ([0.01, 0.01, 1.0, 1.0], [0.0, 0.9, 0.0, 0.9])

    Args:
        count: how many values of each.
        ranges: by hyper-parameter; the last varies fastest.

    Raises:
        UsageError: fewer than 2 values, or no range.
    """
    count = plain(count)
    _check("grid", count, 2, ranges)
    each = [one.at(np.linspace(0, 1, count)) for one in ranges.values()]
    points = np.array(list(itertools.product(*each)))
    return {name: points[:, column] for column, name in enumerate(ranges)}


def stack_trials(trials: Sequence[T]) -> T:
    """One rule, or recipe, in which a number that differs between trials is swept: member i is the i-th trial.

    All its sweeps lie on the axis "trial", so they go together, and seeds are crossed with them: n trials of s seeds
    train as one population of n s members.

    >>> import thalweg as tw
    >>> rule = tw.tuning.stack_trials([tw.optim.Momentum(0.1, 0.9), tw.optim.Momentum(0.3, 0.9)])
    >>> tw.training.MemberGrid(tw.Recipe(rule, steps=10), seeds=[0]).axes["lr"].tolist()
    [0.1, 0.3]

    Args:
        trials: rules or recipes that differ in nothing but numbers.

    Raises:
        UsageError: no trial, or trials that differ in something else, or in a number that cannot be swept.
    """
    check_type("stack_trials trials", trials, Sequence, "a list of rules or recipes")
    check_type("stack_trials trials", list(trials) or None, list, "at least one rule or recipe")
    return _merged(type(trials[0]).__name__, list(trials), True)


def _merged(name: str, parts: list[Any], swept: bool) -> Any:
    """One value for all parts; a sweep where numbers differ, if these may be `swept`."""
    first = parts[0]
    if all(part == first or _same_function(part, first) for part in parts):
        return first
    if all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts) and swept:
        return values(parts, axis="trial")
    if dataclasses.is_dataclass(first) and all(type(part) is type(first) for part in parts):
        merged = {
            one.name: _merged(f"{name} {one.name}", [getattr(part, one.name) for part in parts], _sweepable(one.type))
            for one in dataclasses.fields(first)
            if one.init
        }
        return dataclasses.replace(first, **merged)
    if all(isinstance(part, FunctionType) for part in parts):
        msg = f"Trials of one search differ in numbers only; {name} is another function in some: write one for all."
        raise UsageError(msg)
    shown = list(dict.fromkeys(map(repr, parts)))[:2]
    msg = f"Trials of one search differ in numbers that can be swept; {name} is {' here and '.join(shown)} there."
    raise UsageError(msg)


def _sweepable(kind: Any) -> bool:
    """Whether a field of this type takes a sweep, as numbers of rules, of schedules and of what is around rules do."""
    return kind in (Any, float) or any(one in (Any, Sweep) for one in get_args(kind))


def _same_function(one: Any, other: Any) -> bool:
    """Whether two functions are one that was defined twice, with the same values around it."""
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    defaults = [(each.__defaults__, each.__kwdefaults__) for each in (one, other)]
    if one.__code__ != other.__code__ or defaults[0] != defaults[1]:
        return False
    around = ([cell.cell_contents for cell in each.__closure__ or ()] for each in (one, other))
    return all(
        a is b or _same_function(a, b) or (isinstance(a, int | float | str) and a == b)
        for a, b in zip(*around, strict=True)
    )


def _check(name: str, count: int, least: int, ranges: Mapping[str, Range]) -> None:
    check_count(f"{name} count", count, least)
    check_type(f"{name} ranges", ranges or None, Mapping, 'ranges by hyper-parameter, such as {"lr": Range(1e-4, 1)}')
    for key, one in ranges.items():
        check_type(f"{name} ranges[{key!r}]", one, Range, "a Range such as Range(1e-4, 1)")
