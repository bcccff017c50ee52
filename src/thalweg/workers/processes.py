"""Processes of this machine as workers, one thread each, on joblib's loky."""

import contextlib
import os
import pickle
import signal
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor, cpu_count, process_executor
from joblib.externals.loky.backend import get_context

from thalweg.errors import check_count
from thalweg.progress import Progress
from thalweg.workers.driving import drive
from thalweg.workers.outcome import ONE_THREAD, Outcome, carry_out
from thalweg.workers.packing import Packed, pack
from thalweg.workers.protocol import Done, Heard, Work
from thalweg.workers.telling import Telling

_TICK = 0.2  # seconds that are waited at a time
_LABEL = 300  # letters of a label that are sent: a message fits into what a pipe takes in one piece (4 kB)


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, each with one thread of torch.

    They work from a script, with or without `if __name__ == "__main__"`, from one on standard input and from a
    notebook; work may be a lambda or a function defined anywhere. Ctrl-C reaches them through this process alone, and
    they end when it does.

    >>> import thalweg as tw
    >>> workers = tw.workers.Processes(2)
    >>> found = workers.map(lambda item, tell: item**2, [1, 2, 3], heard=lambda number, progress: None)
    >>> sorted(done.found for done in found)
    [1, 4, 9]

    Args:
        count: how many; None is as many as cores that this process may use.
        slices: in how many pieces work that can be cut anywhere is cut; None is one a process.

    Cost: about a second before the first piece of work begins, more where it loads torch.

    Raises:
        UsageError: a number that is not whole, or less than 1.
    """

    count: int | None = None
    slices: int | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.count is None:
            object.__setattr__(self, "count", cpu_count())
        check_count("Processes count", self.count)
        if self.slices is None:
            object.__setattr__(self, "slices", self.count)
        check_count("Processes slices", self.slices)

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        """See `Workers.map`."""
        items = list(items)
        packed = pack(work, items)
        room = min(self.count or 1, max(len(items), 1))
        return _mapped(room, packed, items, heard)


def _mapped(room: int, packed: Packed, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
    """Begin when the first result is asked for, as `Here` does."""
    yield from drive(_Pool(room, packed), items, heard)


class _Pool:
    """Processes of one call of `map`: results come by loky, messages by one pipe, that all is to stop by another.

    No lock is shared: a process that is killed leaves nothing locked. A message is small enough to be written in one
    piece, and dropped where the pipe is full.
    """

    def __init__(self, room: int, packed: Packed) -> None:
        self.room, self.packed = room, packed
        self.context = get_context("loky")
        self.told, self.tell = self.context.Pipe(duplex=False)
        self.stopped, self.stopping = self.context.Pipe(duplex=False)
        os.set_blocking(self.tell.fileno(), False)
        with tempfile.NamedTemporaryFile(prefix="thalweg-", delete=False) as file:
            file.write(packed.work)
        self.path = file.name
        self.executor: ProcessPoolExecutor | None = None
        self.futures: dict[Future, int] = {}

    def begin(self, number: int) -> None:
        if self.executor is None:
            self.executor = ProcessPoolExecutor(
                self.room,
                context=self.context,
                initializer=_prepare,
                initargs=(os.getpid(), self.path, self.tell, self.stopped),
                env=ONE_THREAD,
            )
        future = self.executor.submit(_carry_out, number, self.packed.items[number])
        self.futures[future] = number
        future.add_done_callback(partial(_wake, self.tell))
        _watch(self)

    def wait(self, heard: Heard) -> list[Outcome]:
        ended = [future for future in self.futures if future.done()]
        if not ended and self.told.poll(_TICK):
            self._hear(heard)
            ended = [future for future in self.futures if future.done()]
        outcomes = [self._outcome(future) for future in ended]
        if any(outcome.how == "died" for outcome in outcomes):  # loky then ends all that belong together
            outcomes += [self._outcome(future) for future in list(self.futures)]
            self._end(kill=True)
        return outcomes

    def _hear(self, heard: Heard) -> None:
        while self.told.poll():
            message = pickle.loads(self.told.recv_bytes())
            if message is not None:
                number, entries = message
                heard(number, Progress(*entries))

    def _outcome(self, future: Future) -> Outcome:
        number = self.futures.pop(future)
        try:
            return future.result(timeout=60)
        except Exception as error:  # of loky: what the work raised is an outcome
            return Outcome(number, "died", str(error))

    def stop(self) -> None:
        self.stopping.send_bytes(b"stop")  # never read: it is there for all

    def _end(self, *, kill: bool) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=kill)
            self.executor = None

    def close(self, *, kill: bool) -> None:
        self._end(kill=kill)
        for end in (self.told, self.tell, self.stopped, self.stopping):
            end.close()
        Path(self.path).unlink(missing_ok=True)


def _wake(tell: Connection, future: Future) -> None:
    """End the waiting for messages."""
    with contextlib.suppress(OSError):  # full, so there is no waiting; or closed
        tell.send_bytes(pickle.dumps(None))


_pools: "weakref.WeakSet[_Pool]" = weakref.WeakSet()
_registered = False


def _watch(pool: _Pool) -> None:
    """Stop what runs when Python ends, before loky waits for it: after Ctrl-C, say, where results were handled."""
    global _registered
    _pools.add(pool)
    if not _registered:
        _registered = True
        threading._register_atexit(_stop_all)  # type: ignore[attr-defined] # as loky does, which comes after


def _stop_all() -> None:
    for pool in list(_pools):
        with contextlib.suppress(OSError):
            pool.stop()


# What follows runs in the workers.


@dataclass
class _Worker:
    """What a process was given when it began."""

    path: str
    tell: Connection
    stopped: Connection
    work: Any = None


_worker: _Worker | None = None


def _prepare(driver: int, path: str, tell: Connection, stopped: Connection) -> None:
    global _worker
    _worker = _Worker(path, tell, stopped)
    os.setpgrp()  # Ctrl-C in a terminal is for the driver
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")  # work that keeps what it needs is no leak
    threading.Thread(target=_end_with, args=(driver, path), daemon=True).start()


def _end_with(driver: int, path: str) -> None:
    """End this process, and what it began, when the driver is no more."""
    while os.getppid() == driver:
        time.sleep(0.5)
    Path(path).unlink(missing_ok=True)
    os.killpg(0, signal.SIGKILL)


def _carry_out(number: int, item: bytes) -> Outcome:
    worker = _worker
    assert worker is not None
    if worker.stopped.poll():
        return Outcome(number, "stopped")
    return carry_out(number, partial(_read, worker, item), Telling(partial(_send, worker, number), worker.stopped.poll))


def _read(worker: _Worker, item: bytes) -> tuple[Any, Any]:
    if worker.work is None:
        worker.work = pickle.loads(Path(worker.path).read_bytes())
    return worker.work, pickle.loads(item)


def _send(worker: _Worker, number: int, progress: Progress) -> None:
    message = number, (progress.label[:_LABEL], progress.done, progress.total, progress.seconds)
    with contextlib.suppress(BlockingIOError):
        worker.tell.send_bytes(pickle.dumps(message))
