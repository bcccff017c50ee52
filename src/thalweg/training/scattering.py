"""The verb `scatter`: a run too large for one process, whose members are never all in one place."""

import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import StorageError, WorkerError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.optim.updater import new_state
from thalweg.population import Plan, Problem
from thalweg.population.audits import StackedDiffers
from thalweg.population.threads import one_thread
from thalweg.progress import Watcher, automatic, check_watcher, watched
from thalweg.storage import Store
from thalweg.training.beginning import Beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.history import History
from thalweg.training.identity import digest, identity
from thalweg.training.loop import ANEW
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.scattered import Scattered, ScatteredRun
from thalweg.training.seeds import seeds_of
from thalweg.training.slice_plan import carried_out, check_device, measured, parts_of, slices_of, weights_of
from thalweg.training.slice_records import SliceRecords
from thalweg.training.slice_work import Piece, SliceWork
from thalweg.training.slices import Heard
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
        StorageError: a store that cannot be used, or whose run of that name is another.
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
    check_device(problem)
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
        said: the warnings meanwhile, each with its category.
    """

    metrics: Mapping[str, Tensor]
    batch_loss: Tensor
    diverged_at: Tensor
    evaluation_steps: list[int]
    reason: str
    said: tuple[tuple[type[Warning], str], ...]


@dataclass(frozen=True, eq=False)
class ScatterWork:
    """The training of any slice of a run from its members' initialization on."""

    training: SliceWork

    def __call__(self, part: Part, tell: Tell) -> Summary:
        """Initialize the members of the slice, train them and leave them in the store.

        Raises:
            WorkerError: the store is not seen here.
        """
        work = self.training
        if not work.sees_store():
            msg = f"The store {work.store} is not seen where {part} are trained, and members stay in it; "
            raise WorkerError(msg + "give a folder that all nodes share, or use train, which gathers them.")
        with one_thread():
            piece = first_piece(work.problem, work.recipe, work.grid, part)
        trained = work(piece, tell)
        state = trained.state
        kept = state.metrics, state.batch_loss, state.diverged_at, state.evaluation_steps
        return Summary(*kept, trained.reason, trained.said)


def first_piece(problem: Problem, recipe: Recipe, grid: MemberGrid, part: Part) -> Piece:
    """Members before their first step, initialized by their seeds."""
    population = problem.initialize(grid.part(part.rows).seeds)
    steps = torch.zeros(len(part), dtype=torch.int64)
    slots = new_state(recipe.optimizer, population.theta, problem.layout)
    return Piece(part, initial(problem, recipe, Beginning(population, slots, steps, steps.clone())))


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
        checkpoints = Checkpoints(self.store, key, determines, self.every)
        plans, parts = self._known(checkpoints) or self._planned()
        self._put(checkpoints, plans, parts)
        with watched(progress) as told:
            try:
                found = self._attempt(checkpoints, plans, parts, told)
            except StackedDiffers as differs:
                plan = Plan("looped", 1, f"{differs.reason}; {ANEW}")
                plans = {"gradient": plan, "outputs": plan}
                self._put(checkpoints, plans, parts)
                warnings.warn(f"{plan.reason}.", stacklevel=5)
                found = self._attempt(checkpoints, plans, parts, told)
        for category, sentence in dict.fromkeys(one for summary in found for one in summary.said):
            warnings.warn(sentence, category, stacklevel=5)
        return self._joined(checkpoints, plans, parts, found, clock)

    def _attempt(
        self, checkpoints: Checkpoints, plans: Mapping[str, Plan], parts: Sequence[Part], told: Watcher
    ) -> list[Summary]:
        """What all slices came to."""
        run = self.problem, self.recipe, self.grid, plans, checkpoints, SliceRecords(checkpoints).mark()
        work = ScatterWork(SliceWork.of(*run, until=self.recipe.steps, began=self.began))
        heard = Heard([len(part) for part in parts], [self.recipe.steps] * len(parts), told)
        found = carried_out(self.problem, self.workers, work, parts, heard)
        of = {done.number: done.found for done in found}
        return [of[number] for number in range(len(parts))]

    def _identity(self, *, named: bool) -> dict[str, Any]:
        """What determines the run: what does so for its first members, and how many there are."""
        few = first_piece(self.problem, self.recipe, self.grid, Part(0, min(_FEW, self.grid.members), self.began))
        own = few.population(self.problem), few.state.slots, few.state.began, few.state.fresh_since
        of_few = identity(self.problem, self.recipe, self.grid.part(few.part.rows), Beginning(*own), named=named)
        return of_few | {"kind": _KIND, "members": self.grid.members}

    def _planned(self) -> tuple[dict[str, Plan], list[Part]]:
        """Plans, measured on the first members, and slices of a run that is new.

        There are as few slices as workers, and as many as fit the memory budget.
        """
        members, slots = self.grid.members, len(self.recipe.optimizer.slots)
        each = self.problem.layout.parameters * self.problem.dtype.itemsize * (3 + slots)
        most = self.slice_members or max(1, self.problem.memory_budget // each)
        slices = max(-(-members // most), 1 if self.slice_members else slices_of(self.workers, members))
        length = min(members, max(-(-members // slices), 1 if self.plan == "looped" else 2))
        with one_thread():
            piece = first_piece(self.problem, self.recipe, self.grid, Part(0, length, self.began))
        asked = {"gradient": self.plan, "outputs": self.plan}
        plans = measured(self.problem, self.recipe, self.grid, piece, asked)
        weights = weights_of(self.problem, self.recipe, self.grid, self.began, 0)
        run = self.problem, self.recipe, self.grid, plans, slices
        return plans, parts_of(*run, began=self.began, weights=weights)

    def _known(self, checkpoints: Checkpoints) -> tuple[dict[str, Plan], list[Part]] | None:
        """Plans and slices of this run, if the store has it.

        Raises:
            StorageError: the store has another under this name.
        """
        key = checkpoints.key
        others = [kind for kind in ("run", "checkpoint") if (kind, key) in self.store]
        document = self.store.get(_KIND, key).document if (_KIND, key) in self.store else None
        if others or (document is not None and document["identity"] != checkpoints.identity):
            msg = (
                f"The store has another {(*others, 'scattered run')[0]} named {key!r}; pass another name, or delete it."
            )
            raise StorageError(msg)
        if document is None:
            return None
        parts = [Part(start, stop, self.began) for start, stop in itertools.pairwise(document["cuts"])]
        return {name: Plan(**plan) for name, plan in document["plans"].items()}, parts

    def _put(self, checkpoints: Checkpoints, plans: Mapping[str, Plan], parts: Sequence[Part]) -> None:
        said = {name: asdict(plan) for name, plan in plans.items()}
        document = {"identity": dict(checkpoints.identity), "plans": said, "cuts": [0, *(part.stop for part in parts)]}
        self.store.put(_KIND, checkpoints.key, document)

    def _joined(
        self,
        checkpoints: Checkpoints,
        plans: Mapping[str, Plan],
        parts: Sequence[Part],
        found: Sequence[Summary],
        clock: float,
    ) -> ScatteredRun:
        metrics = {name: torch.cat([one.metrics[name] for one in found], 1) for name in found[0].metrics}
        losses, steps = torch.cat([one.batch_loss for one in found], 1), np.array(found[0].evaluation_steps)
        reasons = tuple(dict.fromkeys(plan.reason for plan in plans.values() if plan.reason.endswith(ANEW)))
        path, cuts = str(self.store.path.absolute()), (0, *(part.stop for part in parts))
        return ScatteredRun(
            recipe=self.recipe,
            axes=self.grid.axes,
            final=Scattered(self.problem, path, checkpoints.key, cuts, checkpoints.identity),
            history=History.recorded(self.problem, self.grid.axes, steps, metrics, losses, reasons),
            diverged_at=torch.cat([one.diverged_at for one in found]).numpy(),
            plans=plans,
            seconds=time.perf_counter() - clock,
        )
