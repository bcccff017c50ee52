"""How far a long computation is: the message that every long function sends to its watcher."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Watcher", "ignore"]


@dataclass(frozen=True)
class Progress:
    """One report of a long computation.

    Args:
        label: what is being done, for a person.
        done: units of work finished (steps, points, rounds).
        total: units of work in all, at least 1.
        seconds: wall-clock time since the computation began.

    >>> from thalweg.progress import Progress
    >>> Progress("train", done=20, total=100, seconds=3.0).remaining
    12.0
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
    """The watcher that does nothing.

    >>> from thalweg.progress import Progress, ignore
    >>> ignore(Progress("train", done=1, total=2, seconds=0.1))
    """
