"""How far a long computation is: the one message every verb sends to whoever watches."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a long computation.

    Args:
        label: what is being done, for a person.
        done: units of work finished (steps, points, rounds).
        total: units of work in all, at least 1.
        seconds: wall-clock time since the computation began.
    """

    label: str
    done: int
    total: int
    seconds: float

    @property
    def remaining(self) -> float | None:
        """Seconds left at the rate so far; None before the first unit is done."""
        return self.seconds * (self.total - self.done) / self.done if self.done else None


Watcher = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """The watcher that does nothing."""
