"""A process of this machine that carries out pieces of work: what runs in it, from its begin to its end."""

import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from joblib.externals.loky import process_executor

from thalweg.progress import Progress
from thalweg.workers.outcome import Outcome, carry_out
from thalweg.workers.telling import Telling

_KEPT_SECONDS = 2  # that work, and the memory it takes, is kept after a piece of it
_LABEL = 300  # letters of a label that are sent: a message fits into what a pipe takes in one piece (4 kB)


@dataclass
class _Worker:
    """What a process was given when it began, and the work that it read last."""

    tell: Connection
    stopped: Connection
    path: str = ""
    work: Any = None
    free_since: float = math.inf  # infinite while a piece is under way
    reading: threading.Lock = field(default_factory=threading.Lock)


_worker: _Worker | None = None


def prepare(driver: int, tell: Connection, stopped: Connection, start_method: str | None) -> None:
    """When the process begins.

    Args:
        driver: the process that waits for results.
        tell: takes messages.
        stopped: has something to read when all work is to stop.
        start_method: how multiprocessing begins processes there.
    """
    global _worker
    _worker = _Worker(tell, stopped)
    multiprocessing.set_start_method(start_method, force=True)  # loky leaves its own, by which no DataLoader works
    os.setpgrp()  # Ctrl-C in a terminal is for the driver
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process_executor._MAX_MEMORY_LEAK_SIZE = 2**63  # work that keeps what it needs is no leak
    threading.Thread(target=_end_with, args=(driver, _worker), daemon=True).start()


def _end_with(driver: int, worker: _Worker) -> None:
    """End this process, and what it began, when the driver is no more; let go of work that seems to be done."""
    while os.getppid() == driver:
        time.sleep(0.5)
        if time.monotonic() - worker.free_since > _KEPT_SECONDS:
            with worker.reading:
                if time.monotonic() - worker.free_since > _KEPT_SECONDS:
                    worker.work = None
    if worker.path:
        Path(worker.path).unlink(missing_ok=True)
    os.killpg(0, signal.SIGKILL)


def begin(number: int, path: str, item: bytes) -> Outcome:
    """One piece of the work in a file: an item, pickled."""
    worker = _worker
    assert worker is not None
    if worker.stopped.poll():
        return Outcome(number, "stopped")
    read = partial(_read, worker, path, item)
    try:
        return carry_out(number, read, Telling(partial(_send, worker, number), worker.stopped.poll))
    finally:
        worker.free_since = time.monotonic()


def _read(worker: _Worker, path: str, item: bytes) -> tuple[Any, Any]:
    with worker.reading:
        worker.free_since = math.inf
        if worker.path != path or worker.work is None:
            worker.path, worker.work = path, None
            worker.work = pickle.loads(Path(path).read_bytes())
        return worker.work, pickle.loads(item)


def _send(worker: _Worker, number: int, progress: Progress) -> None:
    message = number, (progress.label[:_LABEL], progress.done, progress.total, progress.seconds)
    with contextlib.suppress(BlockingIOError):
        worker.tell.send_bytes(pickle.dumps(message))
