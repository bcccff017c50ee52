"""Who waits for workers: begins items in their order, hears of them, tries again what died, and stops what runs."""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple, Protocol

from thalweg.errors import WorkerError
from thalweg.progress import Progress
from thalweg.workers.outcome import Outcome
from thalweg.workers.protocol import Done, Heard

TRIES = 3  # of an item whose process died before it came further


class Told(NamedTuple):
    """How far an item is."""

    number: int
    progress: Progress


class Hands(Protocol):
    """Processes that carry out items by their numbers.

    Attributes:
        room: how many items may have begun and not ended.
        bound: whether one process's death is that of all; the last try of an item is then made alone, so that no
            other's death is taken for its own.
    """

    room: int
    bound: bool

    def begin(self, number: int) -> None:
        """Have an item carried out."""
        ...

    def wait(self) -> list[Outcome | Told]:
        """What ended and what was told, after a fraction of a second at most."""
        ...

    def stop(self) -> None:
        """Have interrupted what runs and what will."""
        ...

    def close(self, *, kill: bool) -> None:
        """Leave nothing behind; `kill` what still runs."""
        ...


class Interrupts:
    """How often Ctrl-C was pressed while it was collected: the third time is raised at once."""

    def __init__(self) -> None:
        self.count = 0

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """While the block runs; outside the main thread, and where Ctrl-C is ignored, nothing changes."""
        ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def drive(hands: Hands, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
    """See `Workers.map`."""
    return _Drive(hands, items).results(heard)


class _Drive:
    """One call of `map`."""

    def __init__(self, hands: Hands, items: Sequence[Any]) -> None:
        self.hands, self.items, self.process = hands, items, os.getpid()
        self.waiting, self.running = deque(range(len(items))), set[int]()
        self.tried, self.furthest = [0] * len(items), [0] * len(items)
        self.interrupts = Interrupts()
        self.error: BaseException | None = None
        self.stopped = False

    def results(self, heard: Heard) -> Iterator[Done]:
        """Each item's result as soon as it is there; then the error, if one was met."""
        try:
            while self.running or (self.waiting and not self.stopped):
                with self.interrupts.collected():
                    self._begin()
                    ended = self._wait(heard)
                for outcome in ended:
                    self._take(outcome)
                    if outcome.how == "found":
                        yield Done(outcome.number, self._open(outcome), outcome.place)
                if self.interrupts.count > 1:
                    break
        finally:
            self._finish()
        if self.error is not None:
            raise self.error

    def _open(self, outcome: Outcome) -> Any:
        try:
            return outcome.open()
        except WorkerError as error:
            error.add_note(f"In {self.items[outcome.number]}.")
            raise

    def _begin(self) -> None:
        while not self.stopped and self.waiting and len(self.running) < self.hands.room:
            number = self.waiting[0]
            if self.hands.bound and self.running and any(self._last(one) for one in (number, *self.running)):
                return
            self.hands.begin(number)  # what cannot begin is not waited for
            self.waiting.popleft()
            self.running.add(number)
            self.tried[number] += 1

    def _last(self, number: int) -> bool:
        """Whether the next try of an item, or the one that runs, is the last."""
        return self.tried[number] + (number not in self.running) == TRIES

    def _wait(self, heard: Heard) -> list[Outcome]:
        ended = []
        for one in self.hands.wait():
            if isinstance(one, Outcome):
                ended.append(one)
                continue
            if one.progress.done > self.furthest[one.number]:  # so this try was not in vain
                self.furthest[one.number], self.tried[one.number] = one.progress.done, 0
            try:
                heard(*one)
            except Exception as error:
                self._fail(error)
        if self.interrupts.count and not self.stopped:
            self._fail(KeyboardInterrupt())
        return ended

    def _take(self, outcome: Outcome) -> None:
        number = outcome.number
        self.running.discard(number)
        if outcome.how == "raised":
            self._fail(outcome.open(), number)
        elif outcome.how == "stopped" and not self.stopped:  # by another than us
            self._fail(KeyboardInterrupt(), number)
        elif outcome.how == "died" and not self.stopped:
            if self.tried[number] < TRIES:
                self.waiting.appendleft(number)
                return
            item = str(self.items[number]).rstrip(".")
            msg = (
                f"The process of {item} died {TRIES} times in a row and came no further, most often because memory "
                "ran out: "
                "take fewer processes or smaller pieces."
            )
            error = WorkerError(msg)
            error.__cause__ = RuntimeError(outcome.words)
            self._fail(error)

    def _fail(self, error: BaseException, number: int | None = None) -> None:
        """Remember the first error, and stop what runs."""
        if self.error is None:
            self.error = error
            if number is not None:
                error.add_note(f"In {self.items[number]}.")
        if not self.stopped:
            self.stopped = True
            self.hands.stop()

    def _finish(self) -> None:
        """Wait for what still runs, interrupted, unless Ctrl-C is pressed again."""
        if os.getpid() != self.process:  # forked from who waits: the work is not this process's to stop
            return
        with self.interrupts.collected():
            before = self.interrupts.count
            try:
                if self.running and not self.stopped:
                    self.stopped = True
                    self.hands.stop()
                while self.running and self.interrupts.count == before < 2:
                    self.running -= {one.number for one in self.hands.wait() if isinstance(one, Outcome)}
            finally:
                self.hands.close(kill=bool(self.running))
