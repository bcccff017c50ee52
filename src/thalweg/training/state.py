"""What a run is at a step: arrays and one integer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.errors import StorageError
from thalweg.optim.updater import new_state
from thalweg.population import Population, Problem
from thalweg.storage.statefile import misfits
from thalweg.training.recipe import Recipe


@dataclass
class State:
    """Everything that continuing a run needs, besides the recipe and the problem.

    Args:
        step: updates done.
        theta: (members, parameters).
        buffers: the population's other tensors by name, members in front.
        slots: what the rule remembers by name, one row a member (see `optim.updater.new_state`).
        diverged_at: the step whose loss, gradient or result was not finite, -1 while there was none.
        metrics: by name (evaluations, members); NaN where not evaluated yet.
        batch_loss: the loss of every step's batch before its update: (steps, members).
        snapshots: theta at the snapshot steps: (snapshots, members, parameters).
        snapshot_buffers: the running buffers then, by name: (snapshots, members, ...).
    """

    step: int
    theta: Float[Tensor, "members parameters"]
    buffers: dict[str, Tensor]
    slots: dict[str, Float[Tensor, "members _"]]
    diverged_at: Int64[Tensor, " members"]
    metrics: dict[str, Float[Tensor, "evaluations members"]]
    batch_loss: Float[Tensor, "steps members"]
    snapshots: Float[Tensor, "snapshots members parameters"]
    snapshot_buffers: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """All arrays under flat names, for a file."""
        flat = {"theta": self.theta, "diverged_at": self.diverged_at, "batch_loss": self.batch_loss}
        flat["snapshots"] = self.snapshots
        for group in _GROUPS:
            flat |= {f"{group}/{name}": tensor for name, tensor in getattr(self, group).items()}
        return flat

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


_GROUPS = ("buffers", "slots", "metrics", "snapshot_buffers")


def beginning(problem: Problem, recipe: Recipe, population: Population) -> State:
    """The state before the first step, with room for all that will be recorded.

    The population's own tensors are used, not copied. The room makes every checkpoint of a run hold the
    same arrays.
    """
    theta, members = population.theta, len(population)
    names = ["loss", *(metric.name for metric in problem.metrics)]
    splits = ["train"] if problem.data.test is None else ["train", "test"]
    evaluations = (len(recipe.evaluation_steps), members)
    return State(
        step=0,
        theta=theta,
        buffers=dict(population.buffers),
        slots=new_state(recipe.optimizer, theta, problem.layout),
        diverged_at=torch.full((members,), -1, device=theta.device),
        metrics={
            f"{split}_{name}": torch.full(evaluations, torch.nan, dtype=torch.float64)
            for split in splits
            for name in names
        },
        batch_loss=theta.new_full((recipe.steps, members), torch.nan),
        snapshots=theta.new_full((len(recipe.snapshot_steps), *theta.shape), torch.nan),
        snapshot_buffers={
            name: buffer.new_zeros((len(recipe.snapshot_steps), *buffer.shape))
            for name, buffer in population.running.items()
        },
    )
