"""Experiments side by side, as one view: a line for each that is under way, and one for all of them."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from thalweg.progress import Progress, duration

if TYPE_CHECKING:
    from thalweg.studies.together import Step, Together


@dataclass(frozen=True)
class Total:
    """How far all experiments are.

    Args:
        done: how many ended.
        total: how many there are.
        left: about how many seconds; None before the first one ended.
    """

    done: int
    total: int
    left: float | None = None

    def __str__(self) -> str:
        left = "" if self.left is None else f", about {duration(self.left)} left"
        return f"{self.done} of {self.total} experiments{left}"


class Screen(Protocol):
    """What a board is shown on."""

    def show(self, total: Total, running: Mapping[int, Progress]) -> None:
        """Show how far all are, and each that is under way, by its number."""


class Board:
    """What is under way, what ended, and how long the rest takes at the rate so far.

    Args:
        screen: that shows it.
        seconds: about what each experiment takes, on any machine: only ratios count.
        clock: seconds since some moment.
    """

    def __init__(self, screen: Screen, seconds: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._screen, self._seconds, self._clock = screen, seconds, clock
        self._running: dict[int, Progress] = {}
        self._ended: set[int] = set()
        self._start = clock()
        self._end: float | None = None  # when all will have ended, on this clock

    def heard(self, number: int, progress: Progress) -> None:
        """How far the experiment of this number is."""
        if number not in self._ended:
            self._running[number] = progress
            self._show()

    def ended(self, number: int) -> None:
        """The experiment of this number came to its end."""
        self._running.pop(number, None)
        self._ended.add(number)
        half = sum(self._seconds[one] for one in self._running) / 2  # as far as those under way are, on average
        done = sum(self._seconds[one] for one in self._ended) + half
        self._end = self._start + (self._clock() - self._start) * sum(self._seconds) / done
        self._show()

    def _show(self) -> None:
        left = None if self._end is None else max(self._end - self._clock(), 0.0)
        self._screen.show(Total(len(self._ended), len(self._seconds), left), self._running)


def steps(together: "Together", screen: Screen) -> "Generator[Step]":
    """The steps of experiments side by side, and meanwhile the board."""
    from thalweg.studies.durations import duration_of

    board = Board(screen, [duration_of(piece.claims) for piece in together.pieces])
    running = together.steps(board.heard)
    try:
        for step in running:
            board.ended(step.number)
            yield step
    finally:
        running.close()
