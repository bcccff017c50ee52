"""What a schedule is, and the algebra that makes schedules of schedules."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError

Number = float | NDArray[np.float64]

Swept = Any  # a number, or a Sweep in a recipe, which becomes one value per member in a run

TINY = 1e-9  # divides in place of a span of no steps
ROUNDING = 1e-12  # shares of a step's number by which a sum of fractional periods may miss it
_LONG = 10**6  # steps, to ask a schedule where it starts


def check_numbers(least: float, most: float = np.inf, **fields: Any) -> None:
    """Raise UsageError, naming the field, for a field that is not a number from `least` to `most`."""
    for name, value in fields.items():
        if isinstance(value, list | tuple):
            msg = f"A schedule's {name} is a number or a sweep; write sweep.values({list(value)})."
            raise UsageError(msg)
        if hasattr(value, "detach"):
            msg = f"A schedule's {name} is a number or a sweep, and no tensor; write {value.tolist()}."
            raise UsageError(msg)
        points = getattr(value, "points", value)
        if isinstance(points, str | bool) or not np.issubdtype(np.asarray(points).dtype, np.number):
            msg = f"A schedule's {name} is a number or a sweep; got {value!r}."
            raise UsageError(msg)
        for point in np.atleast_1d(points):
            if not least <= point <= most or not np.isfinite(point):
                bound = f"at least {least:g}" if most == np.inf else f"from {least:g} to {most:g}"
                msg = f"A schedule's {name} must be {bound}; got {point:g}."
                raise UsageError(msg)


def check_warmup(**fields: Any) -> None:
    """Raise UsageError for a warmup that is not a number of steps, but a share of them."""
    check_numbers(0, **fields)
    for name, value in fields.items():
        for point in np.atleast_1d(getattr(value, "points", value)):
            if 0 < point < 1:
                msg = f"A schedule's {name} is a number of steps, 0 or at least 1, and no share of them; got {point:g}."
                raise UsageError(msg)


def warmup_factor(step: Number, warmup: Number, start: Number = 0.0) -> Number:
    """min(1, start + (1 - start) t / warmup): linear from `start` (at t = 0) to 1 at t = warmup."""
    ramp = np.minimum(1.0, step / np.maximum(warmup, TINY))
    return np.where(np.asarray(warmup) > 0, start + (1 - start) * ramp, 1.0)


@dataclass(frozen=True)
class Schedule:
    """A closed-form function s(t, T) of the step t = 1, 2, ..., T: a multiplier, usually in [0, 1].

    It has no state, so a run resumes exactly at any step. Fields are numbers, or one value per member, or a
    sweep in a recipe. s(0) is where it starts, which no step of its own uses.

    >>> import thalweg as tw
    >>> s = 0.5 * tw.schedules.Constant().then(tw.schedules.Linear(), at=2)
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [0.5, 0.5, 0.25, 0.0]
    """

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        raise NotImplementedError

    __array_ufunc__ = None  # numbers of NumPy's leave their product with a schedule to it

    def __mul__(self, factor: Swept) -> "Scaled":
        """This schedule times a factor, as `scaled`."""
        return self.scaled(factor)

    __rmul__ = __mul__

    def then(self, other: "Schedule", at: Swept) -> "Then":
        """This schedule over the first `at` steps, then another over those that are left."""
        return Then(self, other, at)

    def scaled(self, factor: Swept) -> "Scaled":
        """This schedule times a factor."""
        return Scaled(self, factor)

    def repeated(self, period: Swept) -> "Repeated":
        """This schedule over `period` steps, again and again."""
        return Repeated(self, period)

    def warmed_up(self, steps: Swept, start: Swept = 0.0) -> "WarmedUp":
        """A linear rise over `steps` steps, then this schedule over those that are left."""
        return WarmedUp(self, steps, start)

    def from_zero(self) -> "FromZero":
        """This schedule with steps counted from 0, as torch and optax do."""
        return FromZero(self)


@dataclass(frozen=True)
class Then(Schedule):
    """s(t) = first(t, at) for t <= at, and second(t - at, T - at) afterwards.

    Each runs on a clock of its own, so joining is associative. Beyond T it is what `second` is beyond its end.
    """

    first: Schedule
    second: Schedule
    at: Swept

    def __post_init__(self) -> None:
        check_schedules(first=self.first, second=self.second)
        check_numbers(0, at=self.at)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        early = self.first(np.minimum(step, self.at), np.maximum(self.at, 1))
        late = self.second(np.maximum(step - self.at, 0), np.maximum(steps - self.at, 1))
        return np.where((step <= np.asarray(self.at)) & (np.asarray(self.at) > 0), early, late)


@dataclass(frozen=True)
class Scaled(Schedule):
    """s(t) = factor of(t, T), also beyond T."""

    of: Schedule
    factor: Swept

    def __post_init__(self) -> None:
        check_schedules(of=self.of)
        check_numbers(0, factor=self.factor)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return self.factor * self.of(step, steps)


@dataclass(frozen=True)
class Repeated(Schedule):
    """s(t) = of(t - i period, period) for i period < t <= (i + 1) period; goes on beyond T."""

    of: Schedule
    period: Swept

    def __post_init__(self) -> None:
        check_schedules(of=self.of)
        check_numbers(1, period=self.period)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        cycle = np.maximum(np.ceil(step / np.asarray(self.period) * (1 - ROUNDING)) - 1, 0)
        return self.of(np.minimum(step - cycle * self.period, self.period), self.period)


@dataclass(frozen=True)
class WarmedUp(Schedule):
    """s(t) = (start + (1 - start) t / warmup) of(0) for t <= warmup, and of(t - warmup, T - warmup) afterwards.

    It rises to where the other schedule starts, s(0), which must therefore be above 0. Beyond T it is what
    the other is beyond its end. Cosine().warmed_up(w) equals Cosine(warmup=w).

    Raises:
        UsageError: the other starts at 0, so that there is nothing to rise to; checked once no number in it is swept.
    """

    of: Schedule
    warmup: Swept
    start: Swept = 0.0

    def __post_init__(self) -> None:
        check_schedules(of=self.of)
        check_numbers(0, start=self.start)
        check_warmup(warmup=self.warmup)
        if _swept(self) or not np.any((np.asarray(self.warmup) > 0) & (np.asarray(self.of(0, _LONG)) == 0)):
            return
        msg = (
            f"A warmup rises to where the schedule after it starts, and {self.of} starts at 0: its own rise is a "
            "warmup already; leave this one out, or join them by .then."
        )
        raise UsageError(msg)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        later = self.of(np.maximum(step - self.warmup, 0), np.maximum(steps - self.warmup, 1))
        return warmup_factor(step, self.warmup, self.start) * later


@dataclass(frozen=True)
class FromZero(Schedule):
    """s(t) = of(t - 1, T): the first step has the value at 0, the last one the value just before the end.

    Beyond T it is what the other is beyond its end, a step late.
    """

    of: Schedule

    def __post_init__(self) -> None:
        check_schedules(of=self.of)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return self.of(np.maximum(step - 1, 0), steps)


def _swept(schedule: Schedule) -> bool:
    """Whether a number of a schedule, or of one in it, is a sweep."""
    inside = [getattr(schedule, one.name) for one in fields(schedule)]
    return any(hasattr(value, "points") or (isinstance(value, Schedule) and _swept(value)) for value in inside)


def check_schedules(**fields: object) -> None:
    """Raise UsageError for a field that is not a schedule, naming it."""
    for name, value in fields.items():
        if not isinstance(value, Schedule):
            msg = f"A schedule's {name} must be a schedule such as schedules.Cosine(warmup=100); got {value!r}."
            raise UsageError(msg)
