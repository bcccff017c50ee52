"""How far a long computation is: the message that every long function sends, and who shows it when it is left out.

`watched` alone decides who is told. A computation that is given no watcher shows itself, after about a second: by a
bar in a terminal, by a line in a notebook, and not at all where nobody looks.
"""

import contextlib
import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import NoneType
from typing import Any, Protocol

from thalweg.errors import check_type
from thalweg.notebook import shell

__all__ = ["Progress", "Watcher", "automatic", "check_watcher", "duration", "ignore", "watched"]

_PATIENCE = 1.0  # seconds before anything is shown
_REFRESH = {"terminal": 0.1, "notebook": 0.3}  # seconds from one picture to the next


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

    def __str__(self) -> str:
        left = f", {duration(self.remaining)} left" if self.remaining else ""
        return f"{self.label}: {self.done:,} of {self.total:,}{left}"


Watcher = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """The watcher that does nothing.

    >>> from thalweg.progress import Progress, ignore
    >>> ignore(Progress("train", done=1, total=2, seconds=0.1))
    """


def automatic(progress: Progress) -> None:
    """The watcher of those who give none: what `watched` chooses for it is told in its place.

    >>> import inspect
    >>> import thalweg as tw
    >>> inspect.signature(tw.train).parameters["progress"].default is tw.progress.automatic
    True
    """


_inside: ContextVar[bool] = ContextVar("inside", default=False)
_screen = threading.Lock()  # one bar at a time


@contextlib.contextmanager
def watched(progress: Watcher | None) -> Iterator[Watcher]:
    """Whom a computation tells while it runs.

    What it calls in turn is part of it: there, who is left to choose automatically is silent.

    >>> from thalweg.progress import Progress, ignore, watched
    >>> with watched(None) as told:
    ...     told is ignore
    True
    >>> with watched(print) as told:
    ...     told(Progress("train", done=20, total=100, seconds=3.0))
    train: 20 of 100, 12 s left

    Args:
        progress: a watcher; None is silence, and `automatic` what suits the place.
    """
    inside = _inside.get()
    _inside.set(True)
    try:
        if progress is not automatic:
            yield ignore if progress is None else progress
        elif inside or not _screen.acquire(blocking=False):
            yield ignore
        else:
            try:
                with _shown() as told:
                    yield told
            finally:
                _screen.release()
    finally:
        _inside.set(inside)  # not reset(): a generator may end in another context than it began


def check_watcher(name: str, progress: Any) -> None:
    """Raise UsageError unless somebody, or nobody, can be told; `name` is what was called.

    >>> from thalweg.progress import check_watcher
    >>> check_watcher("train", 3)
    Traceback (most recent call last):
    thalweg.errors.UsageError: train progress must be a function of the progress, such as print, or None; got 3.
    """
    check_type(f"{name} progress", progress, (Callable, NoneType), "a function of the progress, such as print, or None")


class _Display(Protocol):
    def show(self, report: Progress) -> None: ...

    def close(self, last: Progress) -> None: ...


@contextlib.contextmanager
def _shown() -> Iterator[Watcher]:
    """A watcher that shows what it is told once the computation takes long, and takes it away at the end."""
    kind = "notebook" if shell() is not None else "terminal" if _is_terminal() else ""
    if not kind:
        yield ignore
        return
    began = before = time.monotonic()
    display: _Display | None = None
    last: Progress | None = None

    def tell(report: Progress) -> None:
        nonlocal display, before, last
        last, now = report, time.monotonic()
        if now - began < _PATIENCE or now - before < _REFRESH[kind]:
            return
        if display is None:
            display = _Line(began) if kind == "notebook" else _Bar()
        display.show(report)
        before = now

    try:
        yield tell
    finally:
        if display is not None and last is not None:
            display.close(last)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


class _Bar:
    """A bar in the terminal, below what is printed meanwhile; nothing is left of it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Rich

        console = Console(stderr=True)
        self._rich: Rich | None = None
        if console.is_dumb_terminal:  # which cannot go back in a line
            return
        columns = TextColumn("{task.fields[label]}", markup=False), BarColumn(), TextColumn("{task.fields[rest]}")
        self._rich = Rich(
            *columns, console=console, transient=True, auto_refresh=False, redirect_stdout=sys.stdout.isatty()
        )
        self._task = self._rich.add_task("", label="", rest="")

    def show(self, report: Progress) -> None:
        if self._rich is not None:
            rest = str(report).removeprefix(f"{report.label}: ")
            self._rich.update(self._task, completed=report.done, total=report.total, label=report.label, rest=rest)
            self._rich.start()  # which the second time does nothing
            self._rich.refresh()

    def close(self, last: Progress) -> None:
        if self._rich is not None:
            self._rich.stop()


class _Line:
    """A line with a bar in the output of a cell; in the end it says how far it came, and how long that took.

    Args:
        began: when the computation did, on the monotonic clock.
    """

    def __init__(self, began: float) -> None:
        from IPython.display import display  # pyrefly: ignore

        self._began = began
        self._handle: Any = display(self._bundle("", ""), raw=True, display_id=True)

    def show(self, report: Progress) -> None:
        bar = f'<progress max="{report.total}" value="{report.done}"></progress> '
        self._handle.update(self._bundle(str(report), bar), raw=True)

    def close(self, last: Progress) -> None:
        taken = duration(time.monotonic() - self._began)
        self._handle.update(self._bundle(f"{last.label}: {last.done:,} of {last.total:,} in {taken}", ""), raw=True)

    @staticmethod
    def _bundle(text: str, bar: str) -> dict[str, str]:
        return {"text/plain": text, "text/html": f"{bar}<small>{html.escape(text)}</small>"}


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> from thalweg.progress import duration
    >>> duration(3.2), duration(75), duration(7_260)
    ('3 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
