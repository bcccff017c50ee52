"""The verb `scatter`: a run too large for one process, whose members are never all in one place."""

import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.optim.updater import new_state
from thalweg.population import Plan, Problem
from thalweg.population.threads import flushes, one_thread
from thalweg.progress import Progress, Watcher, automatic, check_watcher, watched
from thalweg.storage import Store
from thalweg.training.beginning import Beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.cutting import cuts, of_whole_matrices
from thalweg.training.history import History
from thalweg.training.identity import digest, identity
from thalweg.training.loop import ANEW, Loop
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.scattered import Scattered, ScatteredRun
from thalweg.training.seeds import seeds_of
from thalweg.training.slice_records import SliceRecords
from thalweg.training.slice_work import Piece, SliceWork
from thalweg.training.slices import check_trainable
from thalweg.training.state import initial
from thalweg.workers import Tell, Workers, check_workers

_KIND = "scattered"
_FEW = 4  # members that tell a run from others


@guarded
def scatter(
    problem: Problem,
    recipe: Recipe,
    seeds: int | Sequence[int],
    *,
    workers: Workers,
    store: Store | str | Path,
    name: str | None = None,
    plan: str = "auto",
    slice_members: int | None = None,
    progress: Watcher | None = automatic,
    checkpoint_seconds: float = 30.0,
) -> ScatteredRun:
    """Train as `train` does, each slice of members initialized, trained and stored by a worker, and never gathered.

    This process holds what is said of members (axes, history, the steps at which they diverged), and no theta: what it
    needs of members is read from the store, `run.final[17]`, or computed slice by slice where they lie,
    `run.final.evaluate(workers=workers)`. All workers need to see the store's folder.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=4, batch_size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = tw.training.scatter(problem, recipe, 6, workers=tw.workers.Here(3), store=folder)
    ...     len(run.final), run.final[[0, 5]].theta.shape, sorted(run.final.evaluate())
    (6, torch.Size([2, 650]), ['accuracy', 'loss'])

    Args:
        problem, recipe, seeds: see `train`; members begin as their seeds initialize them.
        workers: who trains.
        store: where the members stay, a Store or its folder. A run that is there is continued, or returned if it was
            finished.
        name: the run's key in the store, see `train`.
        plan: "auto", "stacked" or "looped".
        slice_members: of a slice, about; None: as few slices as workers, so that one's theta, gradient and moments fit
            the problem's memory budget.
        progress: told how far it is: the mean over members.
        checkpoint_seconds: the most work, in seconds, that a kill can lose.

    Raises:
        UsageError: see `train`.
        WorkerError: a worker that does not see the store; see `Workers.map`.
        KeyboardInterrupt: Ctrl-C, after checkpoints of all slices.
    """
    check_type("scatter problem", problem, Problem, "a Problem")
    check_type("scatter recipe", recipe, Recipe, "a Recipe")
    check_workers("scatter workers", workers)
    check_type("scatter store", store, (Store, str, Path), "a Store or its folder")
    check_choice("scatter plan", plan, ("auto", "stacked", "looped"))
    check_watcher("scatter", progress)
    if slice_members is not None:
        check_count("scatter slice_members", slice_members)
    clock = time.perf_counter()
    grid = MemberGrid(recipe, seeds_of("scatter", seeds, 0))
    check_trainable(problem, grid, workers)
    store = store if isinstance(store, Store) else Store(store)
    return _Scatter(problem, recipe, grid, workers, store, plan, checkpoint_seconds, slice_members).run(
        name, progress, clock
    )


@dataclass(frozen=True, eq=False)
class Summary:
    """What a slice came to, without its members.

    Args:
        metrics, batch_loss, diverged_at, evaluation_steps: see `State`.
        reason: why an audit ended it before; empty if none did.
        said: the warnings meanwhile.
    """

    metrics: Mapping[str, Tensor]
    batch_loss: Tensor
    diverged_at: Tensor
    evaluation_steps: list[int]
    reason: str
    said: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ScatterWork:
    """The training of any slice of a run from its members' initialization on."""

    training: SliceWork

    def __call__(self, part: Part, tell: Tell) -> Summary:
        """Initialize the members of the slice, train them and leave them in the store."""
        work = self.training
        with one_thread():
            piece = first_piece(work.problem, work.recipe, work.grid, part)
        trained = work(piece, tell)
        if not trained.reason and not trained.stored:
            msg = f"The store {work.store} is not seen where {part} were trained, and members stay in it; "
            raise UsageError(msg + "give a folder that all nodes share, or use train, which gathers them.")
        state = trained.state
        return Summary(
            state.metrics, state.batch_loss, state.diverged_at, state.evaluation_steps, trained.reason, trained.said
        )


def first_piece(problem: Problem, recipe: Recipe, grid: MemberGrid, part: Part) -> Piece:
    """Members before their first step, initialized by their seeds."""
    own = grid.part(part.rows)
    population = problem.initialize(own.seeds)
    steps = torch.zeros(len(part), dtype=torch.int64)
    slots = new_state(recipe.optimizer, population.theta, problem.layout)
    state = initial(problem, recipe, Beginning(population, slots, steps, steps.clone()))
    return Piece(part, replace(population, theta=state.theta, buffers=state.buffers), state)


@dataclass(eq=False)
class _Scatter:
    """One call of `scatter`."""

    problem: Problem
    recipe: Recipe
    grid: MemberGrid
    workers: Workers
    store: Store
    plan: str
    every: float
    slice_members: int | None

    def run(self, name: str | None, progress: Watcher | None, clock: float) -> ScatteredRun:
        self.began = torch.zeros(self.grid.members, dtype=torch.int64)
        determines = self._identity(named=name is not None)
        key = digest(determines) if name is None else name
        plans, rows = self._known(key, determines) or self._planned()
        self._put(key, determines, plans, rows)
        checkpoints = Checkpoints(self.store, key, determines, self.every)
        with watched(progress) as told:
            found = self._attempt(checkpoints, plans, rows, told)
            reason = next((one.reason for one in found if one.reason), "")
            if reason:
                plan = Plan("looped", 1, f"{reason}; {ANEW}")
                plans = {"gradient": plan, "outputs": plan}
                SliceRecords(checkpoints).remove()
                self._put(key, determines, plans, rows)
                warnings.warn(f"{plan.reason}.", stacklevel=5)
                found = self._attempt(checkpoints, plans, rows, told)
        for sentence in dict.fromkeys(sentence for one in found for sentence in one.said):
            warnings.warn(sentence, stacklevel=5)
        return self._joined(key, plans, rows, found, clock)

    def _attempt(
        self, checkpoints: Checkpoints, plans: Mapping[str, Plan], rows: Sequence[int], told: Watcher
    ) -> list[Summary]:
        """What all slices came to; ends where an audit ends one."""
        work = SliceWork(
            problem=self.problem,
            recipe=self.recipe,
            grid=self.grid,
            plans=plans,
            observers=(),
            until=self.recipe.steps,
            heard_from=0,
            store=str(self.store.path.absolute()),
            mark=SliceRecords(checkpoints).mark(),
            key=checkpoints.key,
            identity=checkpoints.identity,
            every=self.every,
            flushes=flushes(),
            began=self.began,
        )
        parts = [Part(start, stop, self.began) for start, stop in itertools.pairwise(rows)]
        start, steps = time.perf_counter(), np.zeros(len(parts))

        def heard(number: int, progress: Progress) -> None:
            steps[number] = progress.done
            done = int(np.average(steps, weights=[len(part) for part in parts]))
            told(Progress("training", done, self.recipe.steps, time.perf_counter() - start))

        found: dict[int, Summary] = {}
        results = self.workers.map(ScatterWork(work), parts, heard)
        for done in results:
            found[done.number], steps[done.number] = done.found, self.recipe.steps
            if done.found.reason:
                self.problem.unstacked = done.found.reason
                self.problem.plans.clear()
                results.close()  # type: ignore[attr-defined]
                break
        return [found[number] for number in sorted(found)]

    def _cuts(self) -> list[int]:
        """Where slices begin and end: as few as workers, and as many as fit the memory budget."""
        members = self.grid.members
        slots = len(self.recipe.optimizer.slots)
        each = self.problem.layout.parameters * self.problem.dtype.itemsize * (3 + slots)
        most = self.slice_members or max(1, self.problem.memory_budget // each)
        slices = max(-(-members // most), 1 if self.slice_members else min(self.workers.slices, members))
        aligned, alone = of_whole_matrices(self.recipe.optimizer), self.plan != "stacked"
        return cuts(np.ones(members), slices, whole=alone, aligned=aligned)

    def _identity(self, *, named: bool) -> dict[str, Any]:
        """What determines the run: what does so for its first members, and how many there are."""
        few = first_piece(self.problem, self.recipe, self.grid, Part(0, min(_FEW, self.grid.members), self.began))
        begun = Beginning(few.population, few.state.slots, few.state.began, few.state.fresh_since)
        of_few = identity(self.problem, self.recipe, self.grid.part(few.part.rows), begun, named=named)
        return of_few | {"kind": _KIND, "members": self.grid.members}

    def _planned(self) -> tuple[dict[str, Plan], list[int]]:
        """Plans, measured on the first slice, and cuts of a run that is new."""
        rows = self._cuts()
        with one_thread():
            piece = first_piece(self.problem, self.recipe, self.grid, Part(rows[0], rows[1], self.began))
            asked = {"gradient": self.plan, "outputs": self.plan}
            arguments = self.problem, self.recipe, self.grid.part(piece.part.rows), piece.population, piece.state
            loop = Loop(*arguments, asked, part=piece.part)
        return {name: replace(plan, threads=1) for name, plan in loop.plans.items()}, rows

    def _known(self, key: str, determines: Mapping[str, Any]) -> tuple[dict[str, Plan], list[int]] | None:
        """Plans and cuts of this run, if the store has it."""
        if (_KIND, key) not in self.store:
            return None
        document = self.store.get(_KIND, key).document
        if document["identity"] != determines:
            msg = f"The store has another scattered run named {key!r}; pass another name, or delete that one."
            raise UsageError(msg)
        return {name: Plan(**plan) for name, plan in document["plans"].items()}, document["cuts"]

    def _put(self, key: str, determines: Mapping[str, Any], plans: Mapping[str, Plan], rows: Sequence[int]) -> None:
        said = {name: asdict(plan) for name, plan in plans.items()}
        self.store.put(_KIND, key, {"identity": dict(determines), "plans": said, "cuts": list(rows)})

    def _joined(
        self, key: str, plans: Mapping[str, Plan], rows: Sequence[int], found: Sequence[Summary], clock: float
    ) -> ScatteredRun:
        metrics = {name: torch.cat([one.metrics[name] for one in found], 1) for name in found[0].metrics}
        losses, steps = torch.cat([one.batch_loss for one in found], 1), np.array(found[0].evaluation_steps)
        reasons = tuple(dict.fromkeys(plan.reason for plan in plans.values() if plan.reason.endswith(ANEW)))
        return ScatteredRun(
            recipe=self.recipe,
            axes=self.grid.axes,
            final=Scattered(self.problem, str(self.store.path.resolve()), key, tuple(rows)),
            history=History.recorded(self.problem, self.grid.axes, steps, metrics, losses, reasons),
            diverged_at=torch.cat([one.diverged_at for one in found]).numpy(),
            plans=plans,
            seconds=time.perf_counter() - clock,
        )
