"""Checkpoints in a store: written between steps, read back bit for bit."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from thalweg.errors import StorageError
from thalweg.population import Plan
from thalweg.storage import Store
from thalweg.training.state import State

_KINDS = ("run", "checkpoint")
_ABSENT = object()  # what an identity does not have, which is not the same as to have None


class Checkpoints:
    """The checkpoint and the finished run of one training in a store; does nothing without one.

    Args:
        store: where to write.
        key: the run's name there.
        identity: what determines the run; a record under `key` with another identity is refused.
        every: seconds between checkpoints.
    """

    def __init__(self, store: Store | None, key: str, identity: Mapping[str, Any], every: float) -> None:
        self.store, self.key, self.identity, self.every = store, key, dict(identity), every
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for a checkpoint, after the step under way."""
        return self.store is not None and time.monotonic() - self.last >= self.every

    def write(self, state: State, plans: Mapping[str, Plan]) -> None:
        """Replace the record by the state as it is; at its last step the checkpoint becomes the finished run."""
        if self.store is None:
            return
        finished = state.step == len(state.batch_loss)
        document = {
            "identity": self.identity,
            "step": state.step,
            "plans": {name: dataclasses.asdict(plan) for name, plan in plans.items()},
        }
        self.store.put("run" if finished else "checkpoint", self.key, document, {"state": state.tensors()})
        if finished and ("checkpoint", self.key) in self.store:
            self.store.delete("checkpoint", self.key)
        self.last = time.monotonic()

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
        records = [self.store.get(kind, self.key) for kind in _KINDS if (kind, self.key) in self.store]
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
        state.load(self.store.arrays(furthest.objects["state"]), furthest.document["step"])
        return {name: Plan(**plan) for name, plan in furthest.document["plans"].items()}
