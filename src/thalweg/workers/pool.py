"""The processes of one call of `map`, as who waits for them sees them."""

import contextlib
import os
import pickle
import tempfile
import threading
import weakref
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from thalweg.progress import Progress
from thalweg.workers import process
from thalweg.workers.driving import Told
from thalweg.workers.outcome import ONE_THREAD, Outcome
from thalweg.workers.packing import Packed

_TICK = 0.2  # seconds that are waited at a time


class Pool:
    """Processes of one call of `map`: results come by loky, messages by one pipe, that all is to stop by another.

    No lock is shared: a process that is killed leaves nothing locked. A message is small enough to be written in one
    piece, and dropped where the pipe is full.
    """

    bound = True  # loky ends all when one is killed

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
        """See `Hands`."""
        if self.executor is None:
            self.executor = ProcessPoolExecutor(
                self.room,
                context=self.context,
                initializer=process.prepare,
                initargs=(os.getpid(), self.path, self.tell, self.stopped),
                env=ONE_THREAD,
            )
        future = self.executor.submit(process.begin, number, self.packed.items[number])
        self.futures[future] = number
        future.add_done_callback(partial(_wake, self.tell))
        _watch(self)

    def wait(self) -> list[Outcome | Told]:
        """See `Hands`."""
        ended = [future for future in self.futures if future.done()]
        heard: list[Outcome | Told] = []
        if not ended and self.told.poll(_TICK):
            heard += self._heard()
            ended = [future for future in self.futures if future.done()]
        outcomes = [self._outcome(future) for future in ended]
        if any(outcome.how == "died" for outcome in outcomes):  # loky then ends all that belong together
            outcomes += [self._outcome(future) for future in list(self.futures)]
            self._end(kill=True)
        return heard + outcomes

    def _heard(self) -> list[Told]:
        heard = []
        while self.told.poll():
            message = pickle.loads(self.told.recv_bytes())
            if message is not None:
                number, entries = message
                heard.append(Told(number, Progress(*entries)))
        return heard

    def _outcome(self, future: Future) -> Outcome:
        number = self.futures.pop(future)
        try:
            return future.result(timeout=60)
        except Exception as error:  # of loky: what the work raised is an outcome
            return Outcome(number, "died", words=str(error))

    def stop(self) -> None:
        """See `Hands`."""
        self.stopping.send_bytes(b"stop")  # never read: it is there for all

    def _end(self, *, kill: bool) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=kill)
            self.executor = None

    def close(self, *, kill: bool) -> None:
        """See `Hands`."""
        self._end(kill=kill)
        for end in (self.told, self.tell, self.stopped, self.stopping):
            end.close()
        Path(self.path).unlink(missing_ok=True)


def _wake(tell: Connection, future: Future) -> None:
    """End the waiting for messages."""
    with contextlib.suppress(OSError):  # full, so there is no waiting; or closed
        tell.send_bytes(pickle.dumps(None))


_pools: weakref.WeakSet["Pool"] = weakref.WeakSet()
_registered = False


def _watch(pool: Pool) -> None:
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
