"""A run cut into slices that workers train: to the bit the run of one process, at equal threads and processor."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.population import Plan, Population, Problem
from thalweg.population.audits import StackedDiffers
from thalweg.progress import Progress, Watcher
from thalweg.training.beginning import Beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.cutting import cuts
from thalweg.training.loop import ANEW, Observer
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.slice_plan import carried_out, measured, parts_of, slices_of, weights_of
from thalweg.training.slice_records import SliceRecords, checkpoints_of
from thalweg.training.slice_work import Divisible, Piece, SliceWork, Trained
from thalweg.training.state import State, initial
from thalweg.workers import Done, Place, Workers


@dataclass(eq=False)
class Slices:
    """A run while workers train it; `advance` moves its state on, in place.

    The plan is measured on one slice, with one thread, and all are trained by it, in the chunks of the whole run.

    Args:
        problem, recipe, grid, population, state: of the whole run; see `Loop`.
        begun: the run before its first step, to which an audit sends it back, where that is known.
        checkpoints: of the whole run.
        at: the step at which each member stands, slices being apart: (members,).

    Attributes:
        places: where each slice was trained, by its `str`.
        notes: what a reader of the run is to know of that.
    """

    problem: Problem
    recipe: Recipe
    grid: MemberGrid
    population: Population
    state: State
    begun: Beginning
    checkpoints: Checkpoints
    at: NDArray[np.int64]
    places: dict[str, Place] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = SliceRecords(self.checkpoints)

    def advance(
        self,
        until: int,
        plans: Mapping[str, Plan | str],
        workers: Workers,
        told: Watcher,
        observers: Sequence[Divisible] = (),
        found: str = "",
    ) -> dict[str, Plan]:
        """Train all members up to a step, store them, and return the plans; begun anew, looped, where an audit says so.

        Args:
            until: the step; no member is further.
            plans: see `Loop`.
            workers: who trains.
            told: see `train`.
            observers: each one that can be cut. With any, all members stand at one step.
            found: what an audit of other work found since these members were stacked, if anything.

        Raises:
            UsageError: more slices than members.
            KeyboardInterrupt: Ctrl-C, after checkpoints of all slices.
            WorkerError: see `Workers.map`.
        """
        first, stands = int(self.state.began.min()), int(self.at.max())
        heard_from = first if stands == first else stands + 1
        used = self._anew(f"{found}; {ANEW}", observers, heard_from) if found else self._measured(plans, workers)
        if any(plan.mode == "stacked" for plan in used.values()) and self.state.origin is None:
            self.state.origin = self.begun.kept()
        try:
            self._attempt(until, used, workers, told, observers, heard_from)
        except StackedDiffers as differs:
            used = self._anew(f"{differs.reason}; {ANEW}", observers, heard_from)
            self._attempt(until, used, workers, told, observers, heard_from)
        self.state.step = until
        if until == self.recipe.steps:
            self.state.origin = None
        self._note_places()
        self.checkpoints.write(self.state, used)
        self.records.remove()
        return used

    def _attempt(
        self,
        until: int,
        plans: Mapping[str, Plan],
        workers: Workers,
        told: Watcher,
        observers: Sequence[Divisible],
        heard_from: int,
    ) -> None:
        """Have every slice trained to a step."""
        parts = [part for part in self._parts(plans, workers) if self.at[part.start] < until]
        if not parts:
            return
        mark, began = self.records.mark(), self.state.began
        run = self.problem, self.recipe, self.grid, plans, self.checkpoints, mark
        work = SliceWork.of(*run, until=until, began=began, observers=observers, heard_from=heard_from)
        pieces = [Piece.of(part, self.population, self.state, int(self.at[part.start])) for part in parts]
        heard = Heard([len(part) for part in parts], until - self.at[[part.start for part in parts]], told)
        heard_of: dict[int, Sequence[Any]] = {}
        for done in carried_out(self.problem, workers, work, pieces, heard):
            self._take(parts[done.number], done, plans)
            heard_of[done.number] = done.found.heard
        for place, observer in enumerate(observers):
            observer.merge([heard_of[number][place] for number in range(len(parts))])

    def _take(self, part: Part, done: Done, plans: Mapping[str, Plan]) -> None:
        """Bring what a slice came to into the run."""
        trained: Trained = done.found
        self.state.of_rows(part.rows).load(trained.state.tensors(), trained.state.step)
        self.at[part.rows] = trained.state.step
        self.places[str(part)] = done.place
        for category, sentence in trained.said:
            warnings.warn(sentence, category, stacklevel=6)
        store = self.checkpoints.store
        if store is not None and not trained.stored:
            checkpoints_of(self.checkpoints, part, plans, store).write(trained.state, plans)
            self.notes.append(
                f"{part} ran where the store is not seen, so a worker that dies there costs the whole slice"
            )

    def _anew(self, reason: str, observers: Sequence[Divisible], heard_from: int) -> dict[str, Plan]:
        """The run before its first step, looped for that reason; this is stored, and said."""
        self.records.remove()
        fresh = initial(self.problem, self.recipe, (self.state.origin or self.begun).copy())
        self.state.load(fresh.tensors(), fresh.step)
        self.at[:] = fresh.step
        for observer in observers:
            if hasattr(observer, "forget"):
                observer.forget(heard_from)  # type: ignore[attr-defined]
        plan = Plan("looped", 1, reason)
        plans = {"gradient": plan, "outputs": plan}
        self.checkpoints.write(self.state, plans)
        warnings.warn(f"{reason}.", stacklevel=5)
        return plans

    def _measured(self, plans: Mapping[str, Plan | str], workers: Workers) -> dict[str, Plan]:
        """The plans, measured on the slice with the largest batches; chunks of no size are those of the whole run."""
        slices = slices_of(workers, self.grid.members)
        if any(isinstance(plan, Plan) and plan.chunk == 0 for plan in plans.values()):
            slices = 1
        rows = cuts(self._weights(), slices, whole=plans["gradient"] != "stacked")
        largest = int(self.grid.batch_sizes.argmax()) if (self.grid.batch_sizes > 0).all() else 0
        number = int(np.searchsorted(rows, largest, side="right")) - 1
        part = Part(rows[number], rows[number + 1], self.state.began)
        piece = Piece.of(part, self.population, self.state, int(self.at[part.start]))
        return measured(self.problem, self.recipe, self.grid, piece, plans)

    def _parts(self, plans: Mapping[str, Plan], workers: Workers) -> list[Part]:
        """The slices, apart where members stand at different steps."""
        return parts_of(
            self.problem,
            self.recipe,
            self.grid,
            plans,
            slices_of(workers, self.grid.members),
            began=self.state.began,
            weights=self._weights(),
            apart=(np.flatnonzero(np.diff(self.at)) + 1).tolist(),
        )

    def _weights(self) -> NDArray[np.float64]:
        return weights_of(self.problem, self.recipe, self.grid, self.state.began, self.at)

    def _note_places(self) -> None:
        """Say where slices ran that cannot be expected to have the same bits."""
        for what in ("cpu", "torch"):
            seen = sorted({getattr(place, what) for place in self.places.values()})
            if len(seen) > 1:
                kind = "processors" if what == "cpu" else "versions of torch"
                self.notes.append(
                    f"slices ran on several {kind} ({', '.join(seen)}): the run is that of one process to rounding"
                )


class Heard:
    """Progress of slices as that of the run: the mean of their steps, by members.

    >>> from thalweg.progress import Progress
    >>> from thalweg.training.slices import Heard
    >>> heard = Heard([30, 10], [100, 100], lambda report: print(report.done, report.total))
    >>> heard(0, Progress("training", 50, 100, 1.0))
    37 100

    Args:
        members: of each slice.
        left: steps of each.
        told: see `train`.
    """

    def __init__(self, members: Sequence[int], left: Sequence[int] | NDArray[np.int64], told: Watcher) -> None:
        self.members, self.left, self.told = np.asarray(members), np.asarray(left), told
        self.done, self.start = np.zeros(len(self.members)), time.perf_counter()

    def __call__(self, number: int, progress: Progress) -> None:
        """A slice has come so far; one that began again is said to be where it had come before."""
        self.done[number] = max(self.done[number], progress.done)
        total = int(self.left.max())
        done = int(total * (self.members @ self.done) / (self.members @ self.left))
        self.told(replace(progress, label="training", done=done, total=total, seconds=time.perf_counter() - self.start))


def divisible(observers: Sequence[Observer]) -> list[Divisible]:
    """The observers, which can all be cut.

    Raises:
        UsageError: one cannot.
    """
    for observer in observers:
        if not isinstance(observer, Divisible):
            msg = (
                f"{observer!r} observes all members at once, and workers train slices of them in processes of their "
                "own; observe with what can be cut, such as curvature.Tracker or training.Observed, or leave out "
                "workers."
            )
            raise UsageError(msg)
    return [observer for observer in observers if isinstance(observer, Divisible)]
