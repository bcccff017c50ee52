"""How far a long command is: a bar with the time left on a terminal, now and then a line elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from thalweg.cli import output
from thalweg.cli.board import Total
from thalweg.progress import Progress, duration

if TYPE_CHECKING:
    from rich.progress import TaskID

_EVERY = 5.0  # seconds between lines where there is no terminal
_REFRESH = 0.1  # seconds between updates of a bar


class Display(Protocol):
    """Something to watch with, and to say things beside."""

    def watch(self, progress: Progress) -> None:
        """Take note of a progress."""

    def show(self, total: Total, running: Mapping[int, Progress]) -> None:
        """Take note of how far several experiments are that run side by side, by their numbers, and all of them."""

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
        if self._is_time():
            output.note(f"  {progress}")

    def show(self, total: Total, running: Mapping[int, Progress]) -> None:
        """Print how far all are, and below it each that is under way, when it is time to."""
        if self._is_time():
            output.note("\n".join([f"  {total}", *(f"    {progress}" for progress in running.values())]))

    def _is_time(self) -> bool:
        now = self._clock()
        if now - self._last < _EVERY:
            return False
        self._last = now
        return True

    def note(self, text: str) -> None:
        """A line of its own."""
        output.note(text)


class Bars:
    """The study and the experiment under way, each with a bar and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich
        from rich.text import Text

        class Left(TimeRemainingColumn):
            """Of all experiments side by side it is estimated by whoever knows how long each takes."""

            def render(self, task: Task) -> Text:
                return Text(task.fields["left"], style="cyan") if "left" in task.fields else super().render(task)

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Left(),
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
        self._all: TaskID | None = None
        self._row: dict[int, TaskID] = {}
        self._shown = 0.0

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

    def show(self, total: Total, running: Mapping[int, Progress]) -> None:
        """A bar for all, and one for each that is under way; that of one which ended goes away."""
        now = time.monotonic()
        if now - self._shown < _REFRESH and self._row.keys() <= running.keys():
            return
        self._shown = now
        if self._all is None:
            self._all = self._rich.add_task("Experiments", total=total.total, left="")
        left = "" if total.left is None else f"about {duration(total.left)}"
        self._rich.update(self._all, completed=total.done, total=total.total, left=left)
        for number in self._row.keys() - running.keys():
            self._rich.remove_task(self._row.pop(number))
        for number, progress in running.items():
            if number not in self._row:
                self._row[number] = self._rich.add_task(progress.label, total=progress.total)
            task = self._row[number]
            self._rich.update(task, description=progress.label, completed=progress.done, total=progress.total)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False)
