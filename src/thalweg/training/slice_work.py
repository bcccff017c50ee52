"""What a worker does: train one slice of a run, from where it stands."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Int64
from torch import Tensor

from thalweg.guard import undisturbed
from thalweg.population import Plan, Population, Problem
from thalweg.population.audits import StackedDiffers
from thalweg.population.threads import one_thread
from thalweg.progress import Progress
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.loop import Loop
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.slice_records import checkpoints_of, sees
from thalweg.training.state import State
from thalweg.workers import Tell


@runtime_checkable
class Divisible(Protocol):
    """An observer that can be cut: neighboring members are heard by a part of it, in a process of its own."""

    def __call__(self, step: int, population: Population, /) -> object:
        """Hear of the members after a step."""

    def part(self, rows: slice, /) -> "Divisible":
        """An observer of these members alone, which goes on from what the whole has heard."""
        ...

    def heard(self) -> Any:
        """What it has heard, as data that can be sent."""

    def merge(self, heard: Sequence[Any], /) -> None:
        """Take what parts have heard of all members, in their order."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A slice of a run that has not come to the end.

    Args:
        part: which members.
        state: where they stand, in memory of its own.
        mask: of these members, in memory of its own; None: all parameters are active.
    """

    part: Part
    state: State
    mask: Bool[Tensor, "members parameters"] | None = None

    def __str__(self) -> str:
        return str(self.part)

    @classmethod
    def of(cls, part: Part, population: Population, state: State, step: int) -> "Piece":
        """The slice of a run's population and state, whose members stand at this step."""
        mask = None if population.mask is None else population.mask[part.rows].clone()
        return cls(part, replace(state.of_rows(part.rows).copy(), step=step), mask)

    def population(self, problem: Problem) -> Population:
        """The members, with theta and buffers of their state."""
        return Population(self.state.theta, self.state.buffers, problem.layout, problem.template, self.mask)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a slice came to.

    Args:
        state: at its last step.
        heard: what each observer's part heard.
        reason: why an audit ended it before; empty if none did.
        said: the warnings meanwhile, each with its category.
        stored: whether the store has it.
    """

    state: State
    heard: Sequence[Any] = ()
    reason: str = ""
    said: tuple[tuple[type[Warning], str], ...] = ()
    stored: bool = False


@dataclass(frozen=True, eq=False)
class _Counted:
    """Tells progress with the steps that a process which died had done before."""

    tell: Tell
    done: int

    def __call__(self, progress: Progress) -> None:
        self.tell(replace(progress, done=progress.done + self.done, total=progress.total + self.done))


@dataclass(frozen=True, eq=False)
class SliceWork:
    """The training of any slice of one run: a function of (piece, tell) for `Workers.map`.

    Args:
        problem, recipe, grid, plans: of the whole run.
        observers: of the whole run; a slice is heard by a part of each.
        until: the step to come to.
        heard_from: the first step that observers hear.
        store, mark: the folder of the store, and what was left there to know it by; None without one.
        key, identity, every: see `Checkpoints`.
        began: the step at which each member of the run begins.
    """

    problem: Problem
    recipe: Recipe
    grid: MemberGrid
    plans: Mapping[str, Plan]
    observers: Sequence[Divisible]
    until: int
    heard_from: int
    store: str | None
    mark: str
    key: str
    identity: Mapping[str, Any]
    every: float
    began: Int64[Tensor, " members"] = field(repr=False)

    @classmethod
    def of(
        cls,
        problem: Problem,
        recipe: Recipe,
        grid: MemberGrid,
        plans: Mapping[str, Plan],
        checkpoints: Checkpoints,
        mark: str,
        *,
        until: int,
        began: Int64[Tensor, " members"],
        observers: Sequence[Divisible] = (),
        heard_from: int = 0,
    ) -> "SliceWork":
        """The work of a run that writes these checkpoints."""
        store = None if checkpoints.store is None else str(checkpoints.store.path.absolute())
        own = checkpoints.key, checkpoints.identity, checkpoints.every
        return cls(problem, recipe, grid, plans, observers, until, heard_from, store, mark, *own, began)

    def sees_store(self) -> bool:
        """Whether the run's store, if it has one, is seen here."""
        return self.store is None or sees(self.store, self.key, self.mark) is not None

    def __call__(self, piece: Piece, tell: Tell) -> Trained:
        """Train the slice with one thread, and write its checkpoints where the store is seen.

        Raises:
            KeyboardInterrupt: the work was interrupted, after the step under way and a checkpoint.
            Exception: whatever the user's model, loss or observer raises, after a checkpoint where it is an observer.
        """
        with (
            undisturbed("train", self.problem.default_dtype),
            one_thread(),
            warnings.catch_warnings(record=True) as said,
        ):
            warnings.simplefilter("default")
            found = self._trained(piece, tell)
        return replace(found, said=tuple((_sent(one.category), str(one.message)) for one in said))

    def _trained(self, piece: Piece, tell: Tell) -> Trained:
        part, state = piece.part, piece.state
        store = None if self.store is None else sees(self.store, self.key, self.mark)
        run = Checkpoints(store, self.key, self.identity, self.every)
        checkpoints, begun = checkpoints_of(run, part, self.plans, store), state.step
        if not self.observers:  # which did not hear what a process before this one, that died, had done
            checkpoints.restore(state, replaces=True)
        observers = [observer.part(part.rows) for observer in self.observers]
        whole = self.problem, self.recipe, self.grid.part(part.rows), piece.population(self.problem), state, self.plans
        loop = Loop(*whole, observers, part=part)
        loop.heard_from = self.heard_from
        try:
            loop.advance(self.until, checkpoints, _Counted(tell, state.step - begun))
        except StackedDiffers as found:
            return Trained(state, reason=found.reason)
        checkpoints.write(state, self.plans)
        return Trained(state, [observer.heard() for observer in observers], stored=store is not None)


def _sent(category: type[Warning]) -> type[Warning]:
    """The category of a warning, or the nearest one that whoever waits has, too."""
    return next(kind for kind in category.__mro__ if kind.__module__ == "builtins")
