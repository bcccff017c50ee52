"""What a run is at a step: arrays and one integer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.errors import StorageError
from thalweg.population import Population, Problem
from thalweg.storage.statefile import misfits
from thalweg.training.beginning import Beginning
from thalweg.training.recipe import Recipe


@dataclass
class State:
    """Everything that continuing a run needs, besides the recipe and the problem.

    Args:
        step: updates done.
        began: the step at which each member begins: (members,).
        fresh_since: the step from which its moments count their updates: (members,).
        theta: (members, parameters).
        buffers: the population's other tensors by name, members in front.
        slots: what the rule remembers by name, one row a member (see `optim.updater.new_state`).
        diverged_at: the step whose loss, gradient or result was not finite, -1 while there was none.
        metrics: by name (evaluations, members); NaN where not evaluated yet.
        batch_loss: the loss of every step's batch before its update: (steps, members).
        snapshots: theta at the snapshot steps: (snapshots, members, parameters).
        snapshot_buffers: the running buffers then, by name: (snapshots, members, ...).
        snapshot_slots: what the rule remembered then, by name, where the recipe keeps it: (snapshots, members, ...).
        evaluation_steps, snapshot_steps: those of the recipe from the first member's beginning on, beginnings too.
        origin: the members before their first step, where an audit may send the run back to them; no file holds it,
            as whoever goes on from one gives the same beginning.
    """

    step: int
    began: Int64[Tensor, " members"]
    fresh_since: Int64[Tensor, " members"]
    theta: Float[Tensor, "members parameters"]
    buffers: dict[str, Tensor]
    slots: dict[str, Float[Tensor, "members _"]]
    diverged_at: Int64[Tensor, " members"]
    metrics: dict[str, Float[Tensor, "evaluations members"]]
    batch_loss: Float[Tensor, "steps members"]
    snapshots: Float[Tensor, "snapshots members parameters"]
    snapshot_buffers: dict[str, Tensor]
    snapshot_slots: dict[str, Tensor]
    evaluation_steps: list[int]
    snapshot_steps: list[int]
    origin: Beginning | None = field(default=None, repr=False)

    def tensors(self) -> dict[str, Tensor]:
        """All arrays under flat names, for a file."""
        flat = {"theta": self.theta, "diverged_at": self.diverged_at, "batch_loss": self.batch_loss}
        flat |= {"snapshots": self.snapshots, "began": self.began, "fresh_since": self.fresh_since}
        for group in _GROUPS:
            flat |= {f"{group}/{name}": tensor for name, tensor in getattr(self, group).items()}
        return flat

    def of_rows(self, rows: slice) -> "State":
        """The state of neighboring members, as views."""
        views: dict[str, Any] = {name: getattr(self, name)[rows] for name in _OF_MEMBERS}
        views |= {name: getattr(self, name)[:, rows] for name in _OVER_STEPS}
        for group in _GROUPS:
            behind = group in _OVER_STEPS_BY_NAME
            cut = (slice(None), rows) if behind else rows
            views[group] = {name: tensor[cut] for name, tensor in getattr(self, group).items()}
        return replace(self, **views, origin=None)

    def copy(self) -> "State":
        """The same in memory of its own, without the origin."""
        copied: dict[str, Any] = {name: getattr(self, name).clone() for name in (*_OF_MEMBERS, *_OVER_STEPS)}
        for group in _GROUPS:
            copied[group] = {name: tensor.clone() for name, tensor in getattr(self, group).items()}
        return replace(self, **copied, origin=None)

    def load(self, tensors: Mapping[str, Tensor], step: int) -> "State":
        """The state of a file, laid out as this one.

        Raises:
            StorageError: tensors are missing, unexpected or of another shape; all are listed.
        """
        expected = self.tensors()
        faults = misfits(expected, tensors)
        if faults:
            msg = f"The checkpoint does not fit this run: {'; '.join(faults)}."
            raise StorageError(msg)
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])
        self.step = step
        return self


_OF_MEMBERS = ("began", "fresh_since", "theta", "diverged_at")  # members in front
_OVER_STEPS = ("batch_loss", "snapshots")  # steps in front, then members
_GROUPS = ("buffers", "slots", "metrics", "snapshot_buffers", "snapshot_slots")  # tensors by name
_OVER_STEPS_BY_NAME = _GROUPS[2:]


def initial(problem: Problem, recipe: Recipe, begun: Beginning) -> State:
    """The state before the first step, with room for all that will be recorded.

    The tensors of the beginning are used, not copied. The room makes every checkpoint of a run hold the
    same arrays.
    """
    population, first = begun.population, int(begun.steps.min())
    theta, members = population.theta, len(population)
    names = ["loss", *(metric.name for metric in problem.metrics)]
    splits = ["train"] if problem.data.test is None else ["train", "test"]
    evaluated = sorted({step for step in recipe.evaluation_steps if step >= first} | set(begun.steps.tolist()))
    kept = [step for step in recipe.snapshot_steps if step >= first]
    evaluations = (len(evaluated), members)
    return State(
        step=first,
        began=begun.steps,
        fresh_since=begun.fresh_since,
        theta=theta,
        buffers=dict(population.buffers),
        slots=begun.slots,
        diverged_at=torch.full((members,), -1, device=theta.device),
        metrics={
            f"{split}_{name}": torch.full(evaluations, torch.nan, dtype=torch.float64)
            for split in splits
            for name in names
        },
        batch_loss=theta.new_full((recipe.steps, members), torch.nan),
        snapshots=theta.new_full((len(kept), *theta.shape), torch.nan),
        snapshot_buffers=_room(kept, population.running),
        snapshot_slots=_room(kept, begun.slots if recipe.snapshot_state else {}),
        evaluation_steps=evaluated,
        snapshot_steps=kept,
    )


def resumed(state: State, population: Population) -> Beginning:
    """The beginning of a run that goes on, in memory of its own; its numbers are loaded into it."""
    population = population.copy()
    slots = {name: matrix.clone() for name, matrix in state.slots.items()}
    return Beginning(population, slots, state.began.clone(), state.fresh_since.clone())


def _room(steps: list[int], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.new_zeros((len(steps), *tensor.shape)) for name, tensor in tensors.items()}
