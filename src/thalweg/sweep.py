"""Values to compare: a sweep in place of a number makes one member per value.

Sweeps of different axes are crossed; sweeps that share an axis go together, value by value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.errors import UsageError, check_count, check_type

_FEW = 4  # points that are all shown

__all__ = ["Sweep", "linear", "log", "values"]


@dataclass(frozen=True)
class Sweep:
    """The values of one hyper-parameter over members.

    Args:
        points: the values.
        axis: the name of the axis they lie on; None is the name of the hyper-parameter they are given to.

    >>> import thalweg as tw
    >>> rates = tw.sweep.Sweep((0.01, 0.1), axis="lr")
    >>> len(rates)
    2
    """

    points: tuple[float, ...]
    axis: str | None = None

    def __post_init__(self) -> None:
        if not self.points:
            msg = "A sweep needs at least one value; got none."
            raise UsageError(msg)
        if not np.isfinite(self.points).all():
            msg = f"A sweep needs finite values; got {list(self.points)}."
            raise UsageError(msg)

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        points = f"points={self.points}" if len(self) <= _FEW else f"{len(self)} points, {self}"
        return f"Sweep({points}, axis={self.axis!r})"

    def __str__(self) -> str:
        return f"{min(self.points):g} to {max(self.points):g}"


def values(points: Sequence[float], *, axis: str | None = None) -> Sweep:
    """The given values.

    Raises:
        UsageError: the list is empty, or holds anything but finite numbers.

    >>> import thalweg as tw
    >>> tw.sweep.values([0.1, 0.2])
    Sweep(points=(0.1, 0.2), axis=None)
    """
    try:
        numbers = tuple(_number(point) for point in points)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"A sweep takes a list of numbers; got {points!r}."
        raise UsageError(msg) from error
    return Sweep(numbers, axis)


def _number(point: Any) -> float:
    if isinstance(point, bool | str):
        raise TypeError(point)
    return float(point)


def points_of(what: str, value: Any) -> tuple[float, ...]:
    """The values that `what` takes: one, or those of a sweep.

    Raises:
        UsageError: it is neither a number nor a sweep.
    """
    if isinstance(value, Sweep):
        return value.points
    if isinstance(value, tuple):
        msg = f"{what} must be a number, or a list [...] of numbers to compare; got the tuple {value!r}."
        raise UsageError(msg)
    check_type(what, value, (int, float), "a number, a list of numbers or a sweep")
    try:
        return (float(value),)
    except OverflowError:
        return (np.inf,)


def plain(value: Any) -> Any:
    """What a hyper-parameter was given as: a list of numbers as a sweep, a number of NumPy or torch as Python's.

    All lists lie on one axis, "configuration", so they go together; anything else stays as it is.
    """
    if isinstance(value, str | Sweep) or not (isinstance(value, list) or hasattr(value, "tolist")):
        return value
    if np.ndim(value) == 0:
        return np.asarray(value).item()
    return values(value, axis="configuration")


def log(low: float, high: float, count: int, *, axis: str | None = None) -> Sweep:
    """`count` values from low to high at equal ratios; both must be positive.

    Raises:
        UsageError: low or high is not a positive number, low is above high, or count is not a whole number
            above 0.

    >>> import thalweg as tw
    >>> [round(point, 4) for point in tw.sweep.log(1e-3, 1e-1, 3).points]
    [0.001, 0.01, 0.1]
    """
    _check("sweep.log", low, high, count)
    if not 0 < low <= high:
        msg = f"sweep.log needs 0 < low <= high; got low={low}, high={high}."
        raise UsageError(msg)
    return values(np.geomspace(low, high, count).tolist(), axis=axis)


def linear(low: float, high: float, count: int, *, axis: str | None = None) -> Sweep:
    """`count` values from low to high at equal differences.

    Raises:
        UsageError: low or high is not a number, or count is not a whole number of at least 1.

    >>> import thalweg as tw
    >>> tw.sweep.linear(0.0, 1.0, 3).points
    (0.0, 0.5, 1.0)
    """
    _check("sweep.linear", low, high, count)
    return values(np.linspace(low, high, count).tolist(), axis=axis)


def _check(name: str, low: object, high: object, count: object) -> None:
    check_type(f"{name} low", low, (int, float), "a number")
    check_type(f"{name} high", high, (int, float), "a number")
    check_count(f"{name} count", count)
