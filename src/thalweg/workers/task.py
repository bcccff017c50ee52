"""A piece of work on a node of a Ray cluster: what runs there."""

import contextlib
import os
import pickle
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from thalweg.errors import WorkerError
from thalweg.progress import Progress
from thalweg.workers.outcome import Outcome
from thalweg.workers.outcome import carry_out as carry_out_here
from thalweg.workers.place import Place
from thalweg.workers.telling import Telling, interrupt

_UNHEARD = 10  # messages on the way, from which on others are dropped
_works: dict[str, Any] = {}  # the work this process carried out last, by its key


@dataclass(frozen=True)
class Common:
    """What all tasks of one call of `map` share.

    Args:
        key: of the call.
        work: pickled, as a reference in a list, which Ray does not resolve.
        driver: where the call was made.
        folder: in which.
        path: where modules are found there.
    """

    key: str
    work: list[Any]
    driver: Place
    folder: str
    path: tuple[str, ...]


class Channel:
    """What tasks tell, until it is taken, and whether they are to stop."""

    def __init__(self) -> None:
        self.told: dict[int, tuple] = {}
        self.stopped = False

    def is_stopped(self) -> bool:
        """Whether all are to stop."""
        return self.stopped

    def tell(self, number: int, entries: tuple) -> bool:
        """Keep an item's latest progress; whether it is to stop."""
        self.told[number] = entries
        return self.stopped

    def take(self) -> list[tuple[int, tuple]]:
        """What was told since the last time."""
        told, self.told = list(self.told.items()), {}
        return told

    def stop(self) -> None:
        """All are to stop."""
        self.stopped = True


def carry_out(common: Common, number: int, item: bytes, channel: Any) -> Outcome:
    """One piece of the work: an item, pickled."""
    import ray

    node = ray.get_runtime_context().get_node_id()[:12]
    refused = _refusal(common.driver, Place.here(node), ray.util.get_node_ip_address())
    if refused:
        return Outcome(number, "raised", cloudpickle.dumps(WorkerError(refused)), Place.here(node))
    line = _Line(ray, channel, number)
    if line.stopped_before():
        return Outcome(number, "stopped")
    _go_to(common)
    read = partial(_read, ray, common, item)
    return carry_out_here(number, read, Telling(line.send, line.stopped, _interrupt), node)


def _interrupt() -> None:
    """As Ctrl-C does, which Ray blocks in its processes: that of a terminal is meant for the driver."""
    if not hasattr(signal, "pthread_sigmask"):
        interrupt()
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets one that waits
    signal.signal(signal.SIGINT, handler)
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        interrupt()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refusal(driver: Place, here: Place, node: str) -> str:
    """Why a node's numbers would not be those of the driver; empty where nothing is known to be against it."""
    for what in ("python", "torch", "thalweg"):
        wanted, there = getattr(driver, what), getattr(here, what)
        if wanted != there:
            return (
                f"Node {node} has {what} {there} where this process has {wanted}; install the same version on "
                "all nodes, as only then results are equal."
            )
    return ""


def _go_to(common: Common) -> None:
    """Work in the folder of the driver and find its modules, where this node has them."""
    if Path(common.folder).is_dir():
        os.chdir(common.folder)
    sys.path.extend(one for one in common.path if one not in sys.path and Path(one).exists())


def _read(ray: Any, common: Common, item: bytes) -> tuple[Any, Any]:
    if common.key not in _works:
        _works.clear()
        _works[common.key] = pickle.loads(ray.get(common.work[0]))
    return _works[common.key], pickle.loads(item)


class _Line:
    """From an item to the channel. An answer is looked at when it is there, so that nobody waits for one."""

    def __init__(self, ray: Any, channel: Any, number: int) -> None:
        self.ray, self.channel, self.number = ray, channel, number
        self.answers: list[Any] = []

    def stopped_before(self) -> bool:
        with contextlib.suppress(self.ray.exceptions.RayError):
            return self.ray.get(self.channel.is_stopped.remote(), timeout=5)
        return False

    def send(self, progress: Progress) -> None:
        if len(self.answers) < _UNHEARD:
            entries = progress.label, progress.done, progress.total, progress.seconds
            self.answers.append(self.channel.tell.remote(self.number, entries))

    def stopped(self) -> bool:
        if not self.answers:
            return False
        ready, self.answers = self.ray.wait(self.answers, num_returns=len(self.answers), timeout=0)
        with contextlib.suppress(self.ray.exceptions.RayError):
            return any(self.ray.get(ready))
        return False
