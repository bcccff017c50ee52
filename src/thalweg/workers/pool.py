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

from thalweg.errors import WorkerError
from thalweg.progress import Progress
from thalweg.workers import process
from thalweg.workers.driving import Told
from thalweg.workers.outcome import Outcome
from thalweg.workers.packing import Packed
from thalweg.workers.team import Team, team_of

_TICK = 0.2  # seconds that are waited at a time


class Pool:
    """The processes of one call of `map`: results come by loky, messages by a pipe, that all is to stop by another."""

    bound = True  # loky ends all when one is killed

    def __init__(self, count: int, packed: Packed) -> None:
        self.count, self.packed = count, packed
        self.room = min(count, len(packed.items))
        self.path = _written(packed.work)
        self.team: Team | None = None
        self.futures: dict[Future, int] = {}

    def begin(self, number: int) -> None:
        """See `Hands`."""
        try:
            self.team = self.team or team_of(self.count)
            future = self.team.submit(process.begin, number, self.path, self.packed.items[number])
        except OSError as error:
            msg = f"No process can be started for the work ({error}); raise what limits them, or leave out workers."
            raise WorkerError(msg) from error
        assert self.team is not None
        self.futures[future] = number
        future.add_done_callback(partial(_wake, self.team.tell))
        _watch(self)

    def wait(self) -> list[Outcome | Told]:
        """See `Hands`."""
        ended = [future for future in self.futures if future.done()]
        heard: list[Outcome | Told] = []
        if not ended and self.team is not None and self.team.told.poll(_TICK):
            heard += self._heard()
            ended = [future for future in self.futures if future.done()]
        outcomes = [self._outcome(future) for future in ended]
        if any(outcome.how == "died" for outcome in outcomes):  # loky then ends all that belong together
            outcomes += [self._outcome(future) for future in list(self.futures)]
            self._end(kill=True)
        return heard + outcomes

    def _heard(self) -> list[Told]:
        heard, told = [], self.team.told if self.team else None
        while told is not None and told.poll():
            message = pickle.loads(told.recv_bytes())
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
        if self.team is not None:
            self.team.stop()

    def _end(self, *, kill: bool) -> None:
        if self.team is not None:
            self.team.end(kill=kill)
            self.team = None

    def close(self, *, kill: bool) -> None:
        """See `Hands`; processes that nothing was stopped or killed in stay for the next call."""
        if self.team is not None and self.team.fresh and not kill and not self.futures:
            self.team.leave()
        else:
            self._end(kill=kill)
        Path(self.path).unlink(missing_ok=True)


def _written(work: bytes) -> str:
    """The path of a temporary file with the work."""
    try:
        with tempfile.NamedTemporaryFile(prefix="thalweg-", delete=False) as file:
            try:
                file.write(work)
                file.flush()
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        msg = (
            f"The work, {len(work):,} bytes, cannot be written for workers to read it ({error}); name a folder with "
            "room for it in the environment variable TMPDIR."
        )
        raise WorkerError(msg) from error
    return file.name


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # what a forked process's parent waits for is not its to stop


def _stop_all() -> None:
    for pool in list(_pools):
        with contextlib.suppress(OSError):
            pool.stop()
