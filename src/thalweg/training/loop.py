"""The training loop: whole populations, one step at a time."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation import Evaluator
from thalweg.optim import StepHyperparameters, Updater, Wrapper
from thalweg.optim.inplace import norms
from thalweg.population import Batch, Execution, Plan, Population, Problem
from thalweg.progress import Progress, Watcher
from thalweg.randomness import BatchOrder
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.interrupt import deferred
from thalweg.training.member_grid import MemberGrid
from thalweg.training.recipe import Recipe
from thalweg.training.state import State

Observer = Callable[[int, Population], object]


@dataclass(frozen=True)
class Group:
    """Members that have one batch size: neighboring rows."""

    rows: slice
    examples: ExampleSet
    order: BatchOrder
    execution: Execution

    def gradient(self, step: int, out: Tensor) -> Tensor:
        """The losses (rows,) of this step's batches; their gradients are written to `out`."""
        return self.execution.gradient(Batch.of(self.examples, self.order.indices(step)), out=out, step=step)


class Loop:
    """A run while it is trained; `advance` moves its state on, in place.

    Args:
        state: where the run is.
        plans: how to evaluate "gradient" and "outputs": "auto", "stacked", "looped" or a `Plan`; afterwards
            the attribute of this name holds the plans in use.
        observers: see `train`.
    """

    def __init__(
        self,
        problem: Problem,
        recipe: Recipe,
        grid: MemberGrid,
        population: Population,
        state: State,
        plans: Mapping[str, Plan | str],
        observers: Sequence[Observer] = (),
    ) -> None:
        self.problem, self.recipe, self.grid, self.state = problem, recipe, grid, state
        self.members = members = replace(population, theta=state.theta, buffers=state.buffers)
        # Rules that look ahead or ascend take their gradient at a point of its own, all others at theta itself. A
        # member's point is done with once its gradient is there, which may take its place if it is the last one.
        self.updater = Updater(recipe.optimizer, state.theta, state.slots, problem.layout)
        away = recipe.optimizer.looks_ahead or self.updater.ascent is not None
        self.point = state.theta.clone() if away else state.theta
        self.gradient = self.point if recipe.optimizer.looks_ahead else torch.empty_like(state.theta)
        ahead = replace(members, theta=self.point)
        self.groups = _groups(problem, grid, ahead, plans["gradient"], recipe.steps - state.step)
        self.evaluators, outputs = _evaluators(problem, recipe, members, state.step, plans["outputs"])
        self.plans: dict[str, Plan] = {"gradient": self.groups[0].execution.plan, "outputs": outputs}
        self.active = state.diverged_at < 0
        self.any_diverged = not bool(self.active.all())
        self.running = {name: (buffer, buffer.clone()) for name, buffer in members.running.items()}
        self.mask = None if population.mask is None else population.mask.to(state.theta.dtype)
        self.observers, self.said = observers, False
        for observer in observers:
            if hasattr(observer, "begin"):
                observer.begin(state.slots)

    def advance(self, until: int, checkpoints: Checkpoints, progress: Watcher) -> None:
        """Train up to step `until`, evaluating and keeping snapshots on the way.

        Raises:
            KeyboardInterrupt: Ctrl-C, after the step under way and a checkpoint.
            Exception: whatever an observer raises, after a checkpoint.
        """
        start, first = time.perf_counter(), self.state.step
        with deferred() as interrupt:
            if first == 0:
                self._record()
                self._observe(checkpoints)
            while self.state.step < until:
                self._step()
                self._record()
                self._observe(checkpoints)
                done = self.state.step - first
                progress(Progress("training", done, until - first, time.perf_counter() - start))
                if interrupt.requested or checkpoints.due():
                    checkpoints.write(self.state, self.plans)
                if interrupt.requested:
                    raise KeyboardInterrupt

    def _step(self) -> None:
        """One update of every member that has not diverged."""
        state = self.state
        h = self.grid.at(state.step + 1)
        for buffer, before in self.running.values():
            before.copy_(buffer)
        if self.recipe.optimizer.looks_ahead:
            self.updater.look_ahead(h, out=self.point)
            if self.mask is not None:  # what is kept of masked parameters may lead away from zero
                self.point.mul_(self.mask)
        elif self.point is not state.theta:
            self.point.copy_(state.theta)
        losses = self._gradient()
        if self.updater.ascent is not None:
            self._ascend(self.updater.ascent, h)
        self._watch_divergence(losses)
        if self.any_diverged:
            for buffer, before in self.running.values():
                buffer[~self.active] = before[~self.active]
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        if self.grid.clip_norm is not None:
            self.gradient.mul_(clipping(self.gradient, self.grid.clip_norm))
        self.updater.step(self.gradient, h, self.active if self.any_diverged else None)
        if self.mask is not None:  # rules that mix the columns of a tensor write to all of them
            state.theta.mul_(self.mask)
        state.batch_loss[state.step] = losses.masked_fill(~self.active, torch.nan) if self.any_diverged else losses
        state.step += 1

    def _gradient(self) -> Tensor:
        """The losses (members,) of this step's batches at the point; their gradients are in `gradient`."""
        parts = [group.gradient(self.state.step, self.gradient[group.rows]) for group in self.groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _ascend(self, ascent: Wrapper, h: StepHyperparameters) -> None:
        """Take the gradient anew, uphill from theta; running statistics stay those of theta."""
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        kept = [(buffer, buffer.clone()) for buffer, _ in self.running.values()]
        ascent.ascend(self.state.theta, self.gradient, h, out=self.point)
        self._gradient()
        for buffer, first in kept:
            buffer.copy_(first)

    def _watch_divergence(self, losses: Tensor) -> None:
        """Mark members whose loss or gradient is not finite; they will not be updated again."""
        if math.isfinite(float(losses.sum() + self.gradient.sum())):
            return
        finite = torch.isfinite(losses)
        if self.problem.loss.weighted:
            finite |= self._counting_nothing(losses)
        self._freeze(finite & torch.isfinite(self.gradient.sum(1)), self.state.step + 1)

    def _counting_nothing(self, losses: Tensor) -> Tensor:
        """Which members had a batch in which no target counts: its mean is NaN and its gradient zero. Said once."""
        found = self.active & losses.isnan() & (self.gradient == 0).all(1)
        if found.any() and not self.said:
            self.said = True
            which = ", ".join(map(str, found.nonzero().flatten().tolist()))
            msg = (
                f"The loss counts no target in the batch of step {self.state.step + 1} of member {which}: its gradient "
                "is zero and its batch_loss NaN, there and in further such steps. Larger batches make it rarer."
            )
            warnings.warn(msg, stacklevel=2)
        return found

    def _freeze(self, finite: Tensor, step: int) -> None:
        self.state.diverged_at[self.active & ~finite] = step
        self.active &= finite
        self.any_diverged = not bool(self.active.all())

    def _record(self) -> None:
        """Evaluate and keep a snapshot where the recipe wants it."""
        recipe, state = self.recipe, self.state
        if state.step in recipe.snapshot_steps:
            place = recipe.snapshot_steps.index(state.step)
            state.snapshots[place] = state.theta
            for name, kept in state.snapshot_buffers.items():
                kept[place] = state.buffers[name]
        if state.step in recipe.evaluation_steps:
            row = recipe.evaluation_steps.index(state.step)
            # Saturated units hide an infinite theta from loss and gradient, and after the last step nobody asks them.
            self._freeze(torch.isfinite(state.theta.sum(1)), state.step)
            diverged = ~self.active.cpu()
            for split, evaluator in self.evaluators.items():
                for name, values in evaluator().items():
                    state.metrics[f"{split}_{name}"][row] = values.masked_fill(diverged, torch.nan)

    def _observe(self, checkpoints: Checkpoints) -> None:
        """Call the observers whose turn it is; where one fails, nothing of the run is lost."""
        step = self.state.step
        for observer in self.observers:
            if step % getattr(observer, "every", 1):
                continue
            try:
                observer(step, self.members)
            except Exception as error:
                checkpoints.write(self.state, self.plans)
                error.add_note(f"Raised after step {step} by {observer!r}, which observes the training.")
                raise


def _evaluators(
    problem: Problem, recipe: Recipe, members: Population, step: int, plan: Plan | str
) -> tuple[dict[str, Evaluator], Plan]:
    """One for each set of examples, and their plan, measured on the larger: its chunk fits the memory for both."""
    data, times = problem.data, sum(at >= step for at in recipe.evaluation_steps)
    sets: dict[str, ExampleSet] = {"train": recipe.evaluate_train_on.draw(problem).examples}
    if data.test is not None:
        sets["test"] = data.test
    order = sorted(sets, key=lambda split: -len(sets[split]))
    made: dict[str, Evaluator] = {}
    for split in order:
        made[split] = Evaluator(problem, members, sets[split], plan=plan, times=times)
        plan = made[split].execution.plan
    return {split: made[split] for split in sets}, made[order[0]].execution.plan


def _groups(problem: Problem, grid: MemberGrid, members: Population, plan: Plan | str, steps: int) -> list[Group]:
    """The members by batch size; the plan is measured on the largest, so that its chunk fits the memory for all."""
    train, groups = problem.data.train, []
    for rows, batch_size in sorted(grid.groups(len(train)), key=lambda group: -group[1]):
        order = BatchOrder(grid.seeds[rows], len(train), batch_size)
        batch = Batch.of(train, order.indices(0))
        execution = Execution(problem, members[rows], batch, plan=plan, seeds=grid.seeds[rows], calls=steps)
        plan = execution.plan
        groups.append(Group(rows, train, order, execution))
    return sorted(groups, key=lambda group: group.rows.start)


def starting(problem: Problem, grid: MemberGrid, start: Population | None, mask: Tensor | None) -> Population:
    """The members before the first step, in memory of their own."""
    if start is None:
        distinct = list(dict.fromkeys(grid.seeds))
        population = problem.initialize(distinct)
        if len(distinct) < grid.members:
            population = population[[distinct.index(seed) for seed in grid.seeds]]
    elif len(start) not in (1, grid.members):
        msg = f"start has {len(start)} members; expected 1, or one for each of the {grid.members} trained."
        raise UsageError(msg)
    else:
        population = (start if len(start) == grid.members else start[[0] * grid.members]).copy()
    return population if mask is None else population.with_mask(mask)


def clipping(gradient: Tensor, largest: object) -> Tensor:
    """min(1, largest / |g|) for each member, as a column."""
    limit = torch.as_tensor(largest, dtype=gradient.dtype, device=gradient.device).reshape(-1, 1)
    return (limit / norms(gradient)).clamp_max(1.0)  # where |g| = 0: infinite, so 1
