"""What a reading took: seconds and passes over the model."""

import operator
from dataclasses import dataclass
from typing import Any

from thalweg.errors import UsageError


@dataclass(frozen=True)
class Cost:
    """What a reading took; costs add up.

    Args:
        seconds: of wall-clock time.
        forwards: forward passes, counted per member and batch.
        backwards: backward passes, counted alike.
        hvps: products of a Hessian and a vector, counted alike.

    Raises:
        UsageError: a count that is not a whole number.

    Example:
        >>> import thalweg as tw
        >>> tw.results.Cost(1.5, forwards=10) + tw.results.Cost(0.5, forwards=2, backwards=2)
        Cost(seconds=2.0, forwards=12, backwards=2, hvps=0)
    """

    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    hvps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", float(self.seconds))
        for name in ("forwards", "backwards", "hvps"):
            object.__setattr__(self, name, counted(f"Cost {name}", getattr(self, name)))

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds,
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            self.hvps + other.hvps,
        )


def counted(what: str, count: Any) -> int:
    """A whole number of Python's, whoever it was counted by.

    Raises:
        UsageError: it is none.
    """
    try:
        return operator.index(count)
    except TypeError:
        msg = f"{what} must be a whole number; got {count!r}."
        raise UsageError(msg) from None
