"""A run cut into slices that workers train: to the bit the run of one process, at equal threads and processor."""

import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.population import Plan, Population, Problem
from thalweg.population.threads import flushes, one_thread
from thalweg.progress import Progress, Watcher
from thalweg.training.beginning import Beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.cutting import cuts, edges_of, of_whole_matrices
from thalweg.training.loop import ANEW, Loop, Observer
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
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
        plans: see `Loop`; afterwards those in use.
        begun: the run before its first step, to which an audit sends it back, where that is known.
        observers: each one that can be cut.
        workers: who trains.
        checkpoints: of the whole run.
        at: the step at which each member stands, slices being apart: (members,).

    Attributes:
        places: where slices were trained.
        notes: what a reader of the run is to know of that.
    """

    problem: Problem
    recipe: Recipe
    grid: MemberGrid
    population: Population
    state: State
    plans: dict[str, Plan | str]
    begun: Beginning
    observers: Sequence[Divisible]
    workers: Workers
    checkpoints: Checkpoints
    at: NDArray[np.int64]
    places: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.whole = Part(0, self.grid.members, self.state.began)
        self.first, self.resumes_at = int(self.state.began.min()), int(self.at.max())
        self.heard_from = self.first if self.resumes_at == self.first else self.resumes_at + 1
        self.records = SliceRecords(self.checkpoints)
        self.found = ""

    def advance(self, until: int, told: Watcher) -> dict[str, Plan]:
        """Train all members up to a step, and return the plans by which; begun anew, looped, where an audit says so.

        Raises:
            UsageError: workers or observers that this run cannot have.
            KeyboardInterrupt: Ctrl-C, after checkpoints of all slices.
            WorkerError: see `Workers.map`.
        """
        if self.found:
            self._anew(self.found)
        plans = self._measured()
        if any(plan.mode == "stacked" for plan in plans.values()) and self.state.origin is None:
            self.state.origin = self.begun.kept()
        mark = self.records.mark()
        if self.observers and (self.at < self.resumes_at).any():  # slices that were interrupted at steps of their own
            plans = self._carried_out(plans, min(self.resumes_at, until), mark, (), told)
        plans = self._carried_out(plans, until, mark, self.observers, told)
        self.state.step = until
        if until == self.recipe.steps:
            self.state.origin = None
        self._note_places()
        return plans

    def _carried_out(
        self, plans: dict[str, Plan], until: int, mark: str, observers: Sequence[Divisible], told: Watcher
    ) -> dict[str, Plan]:
        """The plans by which all members came to a step."""
        reason = self._attempt(plans, until, mark, observers, told)
        if reason:
            plans = self._anew(f"{reason}; {ANEW}")
            mark = self.records.mark()
            self._attempt(plans, until, mark, observers, told)
        return plans

    def _attempt(
        self, plans: dict[str, Plan], until: int, mark: str, observers: Sequence[Divisible], told: Watcher
    ) -> str:
        """Have every slice trained to a step; why an audit ended it, if one did."""
        parts = [part for part in self._parts(plans) if self.at[part.start] < until]
        if not parts:
            return ""
        pieces = [Piece.of(part, self.population, self.state, int(self.at[part.start])) for part in parts]
        store, own = self.checkpoints.store, self.checkpoints
        work = SliceWork(
            problem=self.problem,
            recipe=self.recipe,
            grid=self.grid,
            plans=plans,
            observers=observers,
            until=until,
            heard_from=self.heard_from,
            store=None if store is None else str(store.path.absolute()),
            mark=mark,
            key=own.key,
            identity=own.identity,
            every=own.every,
            flushes=flushes(),
            began=self.state.began,
        )
        heard = _Heard([len(part) for part in parts], until - self.at[[part.start for part in parts]], told)
        found, heard_of = self.workers.map(work, pieces, heard), dict[int, Sequence[Any]]()
        try:
            for done in found:
                if done.found.reason:
                    self.problem.unstacked = done.found.reason
                    self.problem.plans.clear()
                    return done.found.reason
                self._take(parts[done.number], done, plans)
                heard_of[done.number] = done.found.heard
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                close()
        for place, observer in enumerate(observers):
            observer.merge([heard_of[number][place] for number in range(len(parts))])
        return ""

    def _take(self, part: Part, done: Done, plans: Mapping[str, Plan]) -> None:
        """Bring what a slice came to into the run."""
        trained: Trained = done.found
        own = self.state.of_rows(part.rows)
        own.load(trained.state.tensors(), trained.state.step)
        self.at[part.rows] = trained.state.step
        for sentence in trained.said:
            warnings.warn(sentence, stacklevel=6)
        self.places.append(done.place)
        store = self.checkpoints.store
        if store is not None and not trained.stored:
            ours = self.checkpoints
            checkpoints_of(store, ours.key, ours.identity, ours.every, part).write(replace(trained.state), plans)
            self.notes.append(
                f"{part} ran where the store is not seen, so a worker that dies there costs the whole slice"
            )

    def _anew(self, reason: str) -> dict[str, Plan]:
        """The run before its first step, looped for that reason; this is stored, and said."""
        state = self.state
        begun = state.origin or self.begun
        self.records.remove()
        fresh = initial(self.problem, self.recipe, begun.copy())
        state.load(fresh.tensors(), fresh.step)
        self.at[:] = fresh.step
        plan = Plan("looped", 1, reason)
        self.plans = {"gradient": plan, "outputs": plan}
        for observer in self.observers:
            if hasattr(observer, "forget"):
                observer.forget(self.heard_from)
        self.checkpoints.write(state, {"gradient": plan, "outputs": plan})
        warnings.warn(f"{reason}.", stacklevel=6)
        return {"gradient": plan, "outputs": plan}

    def _measured(self) -> dict[str, Plan]:
        """The plans, measured on one slice of the largest batches, with the one thread that slices have."""
        alone = self.plans["gradient"] != "stacked"
        equal = cuts(self._weights(), min(self.workers.slices, len(self.whole)), whole=alone)
        largest = int(self.grid.batch_sizes.argmax()) if (self.grid.batch_sizes > 0).all() else 0
        start, stop = next((a, b) for a, b in itertools.pairwise(equal) if a <= largest < b)
        part = Part(start, stop, self.state.began)
        piece = Piece.of(part, self.population, self.state, int(self.at[start]))
        with one_thread():
            loop = Loop(
                self.problem,
                self.recipe,
                self.grid.part(part.rows),
                piece.population,
                piece.state,
                self.plans,
                part=part,
            )
        sizes = {"gradient": max(group.execution.size for group in loop.groups)}
        sizes["outputs"] = max(one.execution.size for one in loop.evaluators.values())
        return {name: replace(plan, chunk=sizes[name], threads=1) for name, plan in loop.plans.items()}

    def _parts(self, plans: Mapping[str, Plan]) -> list[Part]:
        """The slices: of about equal work, and apart where members stand at different steps."""
        chunk, evaluated = (
            plans[name].chunk if plans[name].mode == "stacked" else None for name in ("gradient", "outputs")
        )
        edges = edges_of(self.grid, self.whole, chunk, len(self.problem.data.train), evaluated)
        apart = [0, *(np.flatnonzero(np.diff(self.at)) + 1).tolist()]
        rows = cuts(
            self._weights(),
            min(self.workers.slices, len(self.whole)),
            required=apart,
            edges=edges,
            whole=chunk is None and evaluated is None,
            aligned=of_whole_matrices(self.recipe.optimizer),
        )
        return [Part(start, stop, self.state.began) for start, stop in itertools.pairwise(rows)]

    def _weights(self) -> NDArray[np.float64]:
        """The work of each member: examples that it is still to see."""
        examples = self.grid.trained_on(len(self.problem.data.train))
        sizes = np.where(self.grid.batch_sizes > 0, self.grid.batch_sizes, examples)
        left = self.recipe.steps - np.maximum(self.at, self.state.began.cpu().numpy())
        return sizes * np.maximum(left, 1.0)

    def _note_places(self) -> None:
        """Say where slices ran that cannot be expected to have the same bits."""
        for what in ("cpu", "torch"):
            seen = sorted({getattr(place, what) for place in self.places})
            if len(seen) > 1:
                kind = "processors" if what == "cpu" else "versions of torch"
                self.notes.append(
                    f"slices ran on several {kind} ({', '.join(seen)}): the run is that of one process to rounding"
                )


class _Heard:
    """Progress of slices as that of the run: the mean of their steps, by members."""

    def __init__(self, members: Sequence[int], left: NDArray[np.int64], told: Watcher) -> None:
        self.members, self.left, self.told = np.asarray(members), np.asarray(left), told
        self.done, self.start = np.zeros(len(self.members)), time.perf_counter()

    def __call__(self, number: int, progress: Progress) -> None:
        self.done[number] = progress.done
        total = int(self.left.max())
        done = int(total * (self.members @ self.done) / (self.members @ self.left))
        self.told(Progress("training", done, total, time.perf_counter() - self.start))


def check_trainable(problem: Problem, grid: MemberGrid, workers: Workers) -> None:
    """Raise UsageError for workers that cannot train this."""
    if problem.device.type != "cpu":
        msg = (
            f"Workers train on processors, and the problem is on {problem.device}; write Problem(..., device='cpu'), "
            "or leave out workers."
        )
        raise UsageError(msg)
    slices = workers.slices
    if slices > grid.members and slices != getattr(workers, "count", None):
        most = f"write slices={grid.members}, or fewer"
        msg = f"The run has {grid.members} members, which cannot be cut into {slices} slices; {most}."
        raise UsageError(msg)


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
