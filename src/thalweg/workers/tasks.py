"""The tasks of one call of `map` on Ray, as who waits for them sees them."""

import contextlib
import os
import sys
import time
import uuid
from typing import Any

from thalweg.progress import Progress
from thalweg.workers import task
from thalweg.workers.driving import Told
from thalweg.workers.outcome import Outcome
from thalweg.workers.packing import Packed
from thalweg.workers.place import Place

_TICK = 0.2  # seconds that are waited at a time, and from one look at what was told to the next


class Tasks:
    """Items as tasks, all of them given to Ray at once; what they tell goes through an actor."""

    bound = False

    def __init__(self, ray: Any, packed: Packed) -> None:
        self.ray, self.packed = ray, packed
        self.room = len(packed.items)
        self.channel = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(task.Channel).remote()
        # No retries of Ray's own: it would try again without end what its memory monitor ended.
        self.carry_out = ray.remote(num_cpus=1, max_retries=0)(task.carry_out)
        work = ray.put(packed.work)
        self.common = task.Common(uuid.uuid4().hex, [work], Place.here(), os.getcwd(), tuple(sys.path))
        self.numbers: dict[Any, int] = {}
        self.looked = 0.0
        self.stopping = False

    def begin(self, number: int) -> None:
        """See `Hands`."""
        reference = self.carry_out.remote(self.common, number, self.packed.items[number], self.channel)
        self.numbers[reference] = number

    def wait(self) -> list[Outcome | Told]:
        """See `Hands`."""
        ready, _ = self.ray.wait(list(self.numbers), num_returns=1, timeout=_TICK)
        if ready:
            ready, _ = self.ray.wait(list(self.numbers), num_returns=len(self.numbers), timeout=0)
        return [*self._told(), *(self._outcome(reference) for reference in ready)]

    def _told(self) -> list[Outcome | Told]:
        now = time.monotonic()
        if now - self.looked < _TICK:
            return []
        self.looked = now
        with contextlib.suppress(self.ray.exceptions.RayError):
            if self.stopping:  # again and again: an actor whose node died begins anew
                self.channel.stop.remote()
            told = self.ray.get(self.channel.take.remote(), timeout=5)
            return [Told(number, Progress(*entries)) for number, entries in told]
        return []

    def _outcome(self, reference: Any) -> Outcome:
        number = self.numbers.pop(reference)
        try:
            return self.ray.get(reference)
        except Exception as error:  # of Ray: what the work raised is an outcome
            return Outcome(number, "died", words=f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        """See `Hands`; what waits for a processor looks when it begins, with which `ray.cancel` would race."""
        self.stopping = True
        self.looked = 0.0
        self.channel.stop.remote()

    def close(self, *, kill: bool) -> None:
        """See `Hands`."""
        with contextlib.suppress(Exception):  # a cluster that is no more has nothing left
            if kill:
                for reference in self.numbers:
                    self.ray.cancel(reference, force=True)
            self.ray.kill(self.channel)
