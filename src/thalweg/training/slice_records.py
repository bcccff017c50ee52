"""What slices of a run wrote to the store: rows that are further than the run's own checkpoint."""

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import StorageError
from thalweg.population import Plan
from thalweg.storage import Record, Store
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.part import Part
from thalweg.training.state import State

_KIND, _MARK = "slice", "slices"


class SliceRecords:
    """The records of a run's slices in a store; nothing without one.

    Args:
        checkpoints: of the run.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.store, self.key, self.identity = checkpoints.store, checkpoints.key, checkpoints.identity

    def restore(self, state: State, plans: Mapping[str, Plan | str]) -> tuple[NDArray[np.int64], dict[str, Plan]]:
        """Bring rows of the state to where a slice left them; at which step each member is then, and by which plans.

        Args:
            state: where the run's own checkpoint left it.
            plans: by which the run goes on, where that is known: slices by others belong to an attempt that an audit
                ended.

        Returns:
            Steps (members,), and the plans of the slices; none where there are no slices.
        """
        at, found = np.full(len(state.theta), state.step), dict[str, Plan]()
        known = {name: plan for name, plan in plans.items() if isinstance(plan, Plan)}
        for record in sorted(self._records(), key=lambda one: one.document["step"]):
            own = {name: Plan(**plan) for name, plan in record.document["plans"].items()}
            step, (start, stop) = record.document["step"], record.document["identity"]["rows"]
            if (known or own) != own or step <= state.step or self.store is None:
                continue
            known, found = own, own
            then = state.of_rows(slice(start, stop)).copy().load(self.store.arrays(record.objects["state"]), step)
            for row in range(start, stop):  # slices of another cut may overlap: the furthest of each row
                if at[row] < step:
                    one = then.of_rows(slice(row - start, row - start + 1))
                    state.of_rows(slice(row, row + 1)).load(one.tensors(), step)
                    at[row] = step
        return at, found

    def mark(self) -> str:
        """Leave a mark by which a process knows that it sees this store, and no other folder of the name."""
        if self.store is None:
            return ""
        mark = secrets.token_hex(8)
        self.store.put(_MARK, self.key, {"mark": mark})
        return mark

    def remove(self) -> None:
        """Remove all of them, and the mark."""
        if self.store is None:
            return
        for record in self.store.read(_KIND)[0]:
            if record.document["identity"]["run"] == self.key:
                self.store.delete(_KIND, record.key)
        if (_MARK, self.key) in self.store:
            self.store.delete(_MARK, self.key)

    def _records(self) -> list[Record]:
        if self.store is None:
            return []
        own = {"run": self.key, "of": self.identity}
        return [one for one in self.store.read(_KIND)[0] if own.items() <= one.document["identity"].items()]


def checkpoints_of(store: Store | None, key: str, identity: Mapping[str, Any], every: float, part: Part) -> Checkpoints:
    """Those of one slice of the run of this key and identity."""
    own = {"run": key, "of": dict(identity), "rows": [part.start, part.stop]}
    return Checkpoints(store, slice_key(key, part.start, part.stop), own, every, (_KIND, _KIND))


def slice_key(key: str, start: int, stop: int) -> str:
    """Under which members start to stop - 1 of the run of this key are stored."""
    return f"{key} {start}-{stop}"


def sees(path: str, key: str, mark: str) -> Store | None:
    """The store at a path, if it is the one that `mark` was left in; else None."""
    try:
        store = Store(path, create=False)
        return store if store.get(_MARK, key).document.get("mark") == mark else None
    except StorageError:
        return None
