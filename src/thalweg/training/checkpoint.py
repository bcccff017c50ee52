"""Checkpoints in a store: written between steps, read back bit for bit."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from thalweg.errors import StorageError
from thalweg.population import Plan
from thalweg.storage import Record, Store
from thalweg.training.state import State

_ABSENT = object()  # what an identity does not have, which is not the same as to have None


class Checkpoints:
    """The checkpoint and the finished run of one training in a store; does nothing without one.

    Args:
        store: where to write.
        key: the run's name there.
        identity: what determines the run; a record under `key` with another identity is refused.
        every: seconds between checkpoints.
        kinds: under which a finished run is stored, and one that is not.
    """

    def __init__(
        self,
        store: Store | None,
        key: str,
        identity: Mapping[str, Any],
        every: float,
        kinds: tuple[str, str] = ("run", "checkpoint"),
    ) -> None:
        self.store, self.key, self.identity, self.every = store, key, dict(identity), every
        self.finished, self.unfinished = kinds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for a checkpoint, after the step under way."""
        return self.store is not None and time.monotonic() - self.last >= self.every

    def write(self, state: State, plans: Mapping[str, Plan]) -> None:
        """Replace the record by the state as it is; at its last step the checkpoint becomes the finished run."""
        if self.store is None:
            return
        kind = self.finished if state.step == len(state.batch_loss) else self.unfinished
        self.store.put(kind, self.key, self._document(state, plans), {"state": state.tensors()})
        if kind != self.unfinished:
            self._remove()
        self.last = time.monotonic()

    def try_out(self, state: State) -> None:
        """Find before the first step whether `write` would fail.

        Raises:
            StorageError: the store cannot be written, or has no room.
            UsageError: something of the run cannot be stored, such as a complex buffer.
        """
        if self.store is not None:
            self.store.try_out(self.unfinished, self.key, self._document(state, {}), {"state": state.tensors()})

    def _document(self, state: State, plans: Mapping[str, Plan]) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "step": state.step,
            "plans": {name: dataclasses.asdict(plan) for name, plan in plans.items()},
        }

    def _remove(self) -> None:
        """Remove the checkpoint of a finished run; another process may have done so meanwhile."""
        if self.store is not None and (self.unfinished, self.key) in self.store:
            with contextlib.suppress(StorageError):  # whatever stays is found by the next call, or by `left_over`
                self.store.delete(self.unfinished, self.key)

    def restore(self, state: State, *, replaces: bool = False) -> dict[str, Plan]:
        """Bring `state` to what the store holds for this run, if that is further, and return its plans; else {}.

        Args:
            state: where the run stands.
            replaces: whether a record of another run under this key is left alone, to be replaced later.

        Raises:
            StorageError: the record belongs to another run, or its arrays are damaged or do not fit.
        """
        if self.store is None:
            return {}
        records = self._records(self.store)
        own = [record for record in records if record.document.get("identity") == self.identity]
        if records and not own and not replaces:
            mine, theirs = self.identity, records[0].document.get("identity") or {}
            known = sorted(mine.keys() | theirs.keys())
            different = ", ".join(name for name in known if mine.get(name, _ABSENT) != theirs.get(name, _ABSENT))
            msg = (
                f"The store has another {records[0].kind} named {self.key!r} (different: {different}); "
                "pass another name, or delete that one."
            )
            raise StorageError(msg)
        furthest = max(own, key=lambda record: record.document["step"], default=None)
        if furthest is None or furthest.document["step"] < state.step:
            return {}
        arrays = self._arrays(self.store, furthest)
        if arrays is None:  # another process of the same run is ahead
            return self.restore(state, replaces=replaces)
        state.load(arrays, furthest.document["step"])
        if (
            furthest.kind != self.unfinished and len(own) > 1
        ):  # a kill came between storing the one and removing the other
            self._remove()
        return {name: Plan(**plan) for name, plan in furthest.document["plans"].items()}

    def _records(self, store: Store) -> list[Record]:
        """What the store has under this key."""
        found: list[Record] = []
        for kind in dict.fromkeys(
            (self.unfinished, self.finished)
        ):  # the run last: another process stores it before it removes the checkpoint
            try:
                found.insert(0, store.get(kind, self.key))
            except StorageError:
                if (kind, self.key) in store:  # and cannot be read, or was stored just now
                    found.insert(0, store.get(kind, self.key))
        return found

    def _arrays(self, store: Store, record: Record) -> dict[str, Tensor] | None:
        """The arrays of a record; None where it was replaced or removed since it was read."""
        try:
            return store.arrays(record.objects["state"])
        except StorageError:
            if any(one.objects == record.objects for one in self._records(store)):
                raise
            return None


def left_over(store: Store) -> list[tuple[str, str]]:
    """The kinds and keys of checkpoints, of runs and of their slices, whose finished run is in the store too.

    A kill came before they were removed.

    >>> import tempfile
    >>> import thalweg as tw
    >>> from thalweg.training.checkpoint import left_over
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     left_over(tw.Store(folder))
    []
    """
    finished = {record.key: record.document.get("identity") for record in store.read("run")[0]}
    kept = [(one, one.key, one.document.get("identity")) for one in store.read("checkpoint")[0]]
    for one in store.read("slice")[0]:
        of = one.document.get("identity") or {}
        kept.append((one, of.get("run", ""), of.get("of")))
    return [(one.kind, one.key) for one, run, identity in kept if run in finished and finished[run] == identity]
