"""What a worker does: train one slice of a run, from where it stands."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.guard import undisturbed
from thalweg.population import Plan, Population, Problem
from thalweg.population.audits import StackedDiffers
from thalweg.population.threads import one_thread
from thalweg.progress import Progress
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
        population: these, with theta and buffers of their state.
        state: where they stand, in memory of its own.
    """

    part: Part
    population: Population
    state: State

    def __str__(self) -> str:
        return str(self.part)

    @classmethod
    def of(cls, part: Part, population: Population, state: State, step: int) -> "Piece":
        """The slice of a run's population and state, whose members stand at this step."""
        own = replace(state.of_rows(part.rows).copy(), step=step)
        chosen = replace(population[part.rows], theta=own.theta, buffers=own.buffers)
        return cls(part, chosen, own)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a slice came to.

    Args:
        state: at its last step.
        heard: what each observer's part heard.
        reason: why an audit ended it before; empty if none did.
        said: the warnings meanwhile.
        stored: whether the store has it.
    """

    state: State
    heard: Sequence[Any] = ()
    reason: str = ""
    said: tuple[str, ...] = ()
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
        flushes: whether numbers too small to be normal are zero, as where the run was begun.
    """

    problem: Problem
    recipe: Recipe
    grid: MemberGrid
    plans: Mapping[str, Plan]
    observers: Sequence["Divisible"]
    until: int
    heard_from: int
    store: str | None
    mark: str
    key: str
    identity: Mapping[str, Any]
    every: float
    flushes: bool
    began: Int64[Tensor, " members"] = field(repr=False)

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
            warnings.simplefilter("always")
            torch.set_flush_denormal(self.flushes)
            found = self._trained(piece, tell)
        return replace(found, said=tuple(str(one.message) for one in said if issubclass(one.category, UserWarning)))

    def _trained(self, piece: Piece, tell: Tell) -> Trained:
        store = None if self.store is None else sees(self.store, self.key, self.mark)
        checkpoints = checkpoints_of(store, self.key, self.identity, self.every, piece.part)
        begun = piece.state.step
        if not self.observers:  # which did not hear what a process before this one, that died, had done
            checkpoints.restore(piece.state, replaces=True)
        grid = self.grid.part(piece.part.rows)
        observers = [observer.part(piece.part.rows) for observer in self.observers]
        whole = self.problem, self.recipe, grid, piece.population, piece.state, self.plans
        loop = Loop(*whole, observers, part=piece.part)
        loop.heard_from = self.heard_from
        try:
            loop.advance(self.until, checkpoints, _Counted(tell, piece.state.step - begun))
        except StackedDiffers as found:
            return Trained(piece.state, reason=found.reason)
        checkpoints.write(piece.state, self.plans)
        return Trained(piece.state, [observer.heard() for observer in observers], stored=store is not None)
