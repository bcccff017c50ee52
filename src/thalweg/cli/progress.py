"""How far a long command is: a bar with the time left on a terminal, now and then a line elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from thalweg.cli import output
from thalweg.progress import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

_EVERY = 5.0  # seconds between lines where there is no terminal
_REFRESH = 0.1  # seconds between updates of a bar


class Display(Protocol):
    """Something to watch with, and to say things beside."""

    def watch(self, progress: Progress) -> None:
        """Take note of a progress."""

    def note(self, text: str) -> None:
        """Say something without disturbing the bar."""


@contextlib.contextmanager
def display() -> Iterator[Display]:
    """What suits stderr."""
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):  # which cannot redraw a line
        yield Lines()
        return
    with Bars() as bars:
        yield bars


class Lines:
    """At most one line every few seconds.

    Args:
        clock: seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def watch(self, progress: Progress) -> None:
        """Print the progress when it is time to."""
        now = self._clock()
        if now - self._last < _EVERY:
            return
        self._last = now
        output.note(f"  {progress}")

    def note(self, text: str) -> None:
        """A line of its own."""
        output.note(text)


class Bars:
    """The study and the experiment under way, each with a bar and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._rich = Rich(
            *columns,
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )
        self._task: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}

    def __enter__(self) -> "Bars":
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def watch(self, progress: Progress) -> None:
        """Move the bar of this label; a finished one goes away."""
        now, finished = time.monotonic(), progress.done >= progress.total
        if not finished and now - self._last.get(progress.label, 0.0) < _REFRESH:
            return
        self._last[progress.label] = now
        if progress.label not in self._task:
            self._task[progress.label] = self._rich.add_task(progress.label, total=progress.total)
        task = self._task[progress.label]
        self._rich.update(task, completed=progress.done, total=progress.total)
        if finished:
            self._rich.remove_task(task)
            del self._task[progress.label]

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False)
