"""What slices of a run wrote to the store: rows that are further than the run's own checkpoint."""

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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

    def restore(
        self, state: State, stored: Mapping[str, Plan], *, replaces: bool = False
    ) -> tuple[NDArray[np.int64], dict[str, Plan]]:
        """Bring rows of the state to where a slice left them; at which step each member is then, and by which plans.

        Args:
            state: where the run's own checkpoint left it.
            stored: the plans of that checkpoint; slices by others belong to an attempt that an audit ended. None: those
                of the slice that is the furthest.
            replaces: whether slices of another run under this key are left alone, to be replaced later.

        Returns:
            Steps (members,), and the plans of the slices; none where there are no slices.

        Raises:
            StorageError: there are slices of another run under this key, or their arrays are damaged.
        """
        at, found = np.full(len(state.theta), state.step), dict[str, Plan]()
        for record in sorted(self._own(replaces=replaces), key=lambda one: -one.document["step"]):
            plans = {name: Plan(**plan) for name, plan in record.document["plans"].items()}
            if record.document["step"] <= state.step or _alike(found or stored or plans) != _alike(plans):
                continue
            found = plans
            record, arrays = self._read(record)
            (start, stop), step = record.document["identity"]["rows"], record.document["step"]
            then = state.of_rows(slice(start, stop)).copy().load(arrays, step)
            behind = np.flatnonzero(
                at[start:stop] < step
            )  # slices of another cut may overlap: the furthest of each row
            for rows in np.split(behind, np.flatnonzero(np.diff(behind) > 1) + 1):
                if len(rows):
                    first, last = int(rows[0]), int(rows[-1]) + 1
                    own = slice(start + first, start + last)
                    state.of_rows(own).load(then.of_rows(slice(first, last)).tensors(), step)
                    at[own] = step
        return at, found

    def mark(self) -> str:
        """The mark by which a process knows that it sees this store, and no other folder of the name; left if none is.

        Another process of the same run has the same.
        """
        if self.store is None:
            return ""
        if (_MARK, self.key) in self.store:
            with contextlib.suppress(StorageError, KeyError):
                return str(self.store.get(_MARK, self.key).document["mark"])
        mark = secrets.token_hex(8)
        self.store.put(_MARK, self.key, {"mark": mark})
        return mark

    def remove(self) -> None:
        """Remove all of this run, and the mark; another process may have done so meanwhile."""
        if self.store is None:
            return
        for kind, key in [(_KIND, record.key) for record in self._own(replaces=True)] + [(_MARK, self.key)]:
            if (kind, key) in self.store:
                with contextlib.suppress(StorageError):
                    self.store.delete(kind, key)

    def _own(self, *, replaces: bool) -> list[Record]:
        """The slices of this run."""
        if self.store is None:
            return []
        named = [one for one in self.store.read(_KIND)[0] if one.document["identity"]["run"] == self.key]
        own = [one for one in named if one.document["identity"]["of"] == self.identity]
        if len(own) < len(named) and not replaces:
            msg = (
                f"The store has slices of another run named {self.key!r}; pass another name, or delete them: "
                f"store.delete('slice', {next(one.key for one in named if one not in own)!r}), and so on."
            )
            raise StorageError(msg)
        return own

    def _read(self, record: Record) -> tuple[Record, dict[str, Tensor]]:
        """A slice and its arrays; the newest where a worker replaced it meanwhile."""
        assert self.store is not None
        try:
            return record, self.store.arrays(record.objects["state"])
        except StorageError:
            again = self.store.get(_KIND, record.key)
            if again.objects == record.objects:
                raise
            return self._read(again)


def checkpoints_of(run: Checkpoints, part: Part, plans: Mapping[str, Plan], store: Store | None) -> Checkpoints:
    """Those of one slice of a run; what is by other plans is another slice."""
    own = {"run": run.key, "of": run.identity, "rows": [part.start, part.stop], "plans": _alike(plans)}
    return Checkpoints(store, slice_key(run.key, part.start, part.stop), own, run.every, (_KIND, _KIND))


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


def _alike(plans: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What of plans decides about bits."""
    return {name: [plan.mode, plan.chunk] for name, plan in sorted(plans.items())}
