"""Checkpoints in a store: written between steps, read back bit for bit."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from thalweg.errors import StorageError
from thalweg.population import Plan
from thalweg.results import Record, Store
from thalweg.training.state import State


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
        """Whether so much time has passed that the next step should be followed by a checkpoint."""
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

    def restore(self, state: State) -> dict[str, Plan]:
        """Bring `state` to what the store holds for this run, and return its plans; {} when it holds nothing.

        Raises:
            StorageError: the record belongs to another run, or its arrays are damaged or do not fit.
        """
        record = self._record()
        if self.store is None or record is None:
            return {}
        if record.document.get("identity") != self.identity:
            mine, theirs = self.identity, record.document.get("identity") or {}
            different = ", ".join(sorted(name for name in mine if mine[name] != theirs.get(name)))
            msg = (
                f"The store has another {record.kind} named {self.key!r} (different: {different}); "
                "pass another name, or delete that one."
            )
            raise StorageError(msg)
        state.load(self.store.arrays(record.objects["state"]), record.document["step"])
        return {name: Plan(**plan) for name, plan in record.document["plans"].items()}

    def _record(self) -> Record | None:
        if self.store is None:
            return None
        for kind in ("run", "checkpoint"):
            if (kind, self.key) in self.store:
                return self.store.get(kind, self.key)
        return None
