"""Processes that stay for the next call of `map`: to begin one and load torch in it takes seconds."""

import contextlib
import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from multiprocessing import current_process, get_all_start_methods, get_start_method
from multiprocessing.util import Finalize
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from thalweg.errors import WorkerError
from thalweg.workers import process
from thalweg.workers.outcome import ONE_THREAD

_IDLE_SECONDS = 60  # after which a process that has nothing to do ends
_KEPT = 2  # teams at most that wait for work

_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))

_waiting: list["Team"] = []
_lock = threading.Lock()
_registered = False


class Team:
    """Processes, the pipe by which they tell progress, and the one by which all are to stop.

    No lock is shared: a process that is killed leaves nothing locked. A message is small enough to be written in one
    piece, and dropped where the pipe is full.
    """

    def __init__(self, count: int) -> None:
        self.count, self.surroundings = count, _surroundings()
        self.context = get_context("loky")
        self.told, self.tell = self.context.Pipe(duplex=False)
        self.stopped, self.stopping = self.context.Pipe(duplex=False)
        os.set_blocking(self.tell.fileno(), False)
        self.executor = ProcessPoolExecutor(
            count,
            context=self.context,
            timeout=_IDLE_SECONDS,
            initializer=process.prepare,
            initargs=(os.getpid(), self.tell, self.stopped, _start_method()),
            env=ONE_THREAD,
        )
        self.fresh = True  # nothing was stopped or killed

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Have a process call a function; where one was killed just now, which ends all, this call died with it.

        Raises:
            OSError: no process can be started.
        """
        try:
            return self.executor.submit(function, *arguments)
        except BrokenExecutor as error:
            died: Future = Future()
            died.set_exception(error)
            return died
        except BaseException:
            self.fresh = False
            raise

    @property
    def broken(self) -> bool:
        """Whether a process was killed."""
        return self.executor._flags.broken is not None

    def stop(self) -> None:
        """Have interrupted what runs and what will; this team takes no work of another call."""
        self.fresh = False
        self.stopping.send_bytes(b"stop")  # never read: it is there for all

    def end(self, *, kill: bool) -> None:
        """End the processes, and wait for that."""
        self.executor.shutdown(wait=True, kill_workers=kill)
        for end in (self.told, self.tell, self.stopped, self.stopping):
            end.close()

    def leave(self) -> None:
        """Keep the processes for the next call, as long as nothing of this one can be seen in it."""
        while self.told.poll():
            self.told.recv_bytes()
        with _lock:
            _waiting.append(self)
            surplus = _waiting.pop(0) if len(_waiting) > _KEPT else None
        if surplus is not None:
            surplus.end(kill=False)


def team_of(count: int) -> Team:
    """So many processes in the surroundings of this one: folder, paths of modules, environment, start method.

    Raises:
        WorkerError: this process may have none.
    """
    if current_process().daemon:
        msg = (
            "This process is daemonic, as those of multiprocessing.Pool are, and may have no processes of its own; "
            "begin it with daemon=False, or leave out workers."
        )
        raise WorkerError(msg)
    with _lock:
        _end_with_python()
        broken, here = [one for one in _waiting if one.broken], _surroundings()
        fitting = [one for one in _waiting if one.count == count and one.surroundings == here]
        fitting = [one for one in fitting if one not in broken][-1:]
        _waiting[:] = [one for one in _waiting if one not in (*broken, *fitting)]
    for one in broken:
        one.end(kill=True)
    return fitting[0] if fitting else Team(count)


def dismiss() -> None:
    """End all processes that wait for work."""
    with _lock:
        ending, _waiting[:] = list(_waiting), []
    for team in ending:
        with contextlib.suppress(OSError):
            team.end(kill=False)


def _forked() -> None:
    """A forked process has none of these, and nobody who would let go of the lock."""
    global _lock, _registered
    _waiting.clear()
    _lock, _registered = threading.Lock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _start_method() -> str | None:
    """Of multiprocessing, where it was chosen; a worker of joblib's has one that only loky knows."""
    chosen = get_start_method(allow_none=True)
    return chosen if chosen in get_all_start_methods() else None


def _surroundings() -> tuple[Any, ...]:
    """What processes took from this one when they began, the code of modules that may be edited included."""
    return os.getpid(), os.getcwd(), tuple(sys.path), tuple(sorted(os.environ.items())), _start_method(), _edited()


def _edited() -> tuple[tuple[str, int], ...]:
    """When the files of modules were last written, of those that no package manager put there."""
    found = []
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(_INSTALLED):
            with contextlib.suppress(OSError):
                found.append((file, os.stat(file).st_mtime_ns))
    return tuple(sorted(found))


def _end_with_python() -> None:
    global _registered
    if not _registered:
        _registered = True
        threading._register_atexit(dismiss)  # type: ignore[attr-defined] # before loky waits for its processes
        Finalize(None, dismiss, exitpriority=100)  # before a process of multiprocessing waits for its own
