"""The training loop: whole populations, one step at a time."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thalweg.data import Examples, ExampleSet
from thalweg.errors import ModelError
from thalweg.evaluation import Evaluator
from thalweg.optim import StepHyperparameters, Wrapper
from thalweg.population import Batch, Execution, Plan, Population, Problem
from thalweg.population.audit_draws import Audited, Schedule, drawn_member
from thalweg.population.threads import one_thread
from thalweg.population.window import Window
from thalweg.progress import Progress, Watcher
from thalweg.randomness import BatchOrder, generator
from thalweg.training.beginning import Beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.clipping import clipping
from thalweg.training.interrupt import deferred
from thalweg.training.member_grid import MemberGrid
from thalweg.training.own_examples import OwnExamples
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.state import State, initial
from thalweg.training.updaters import Updaters

Observer = Callable[[int, Population], object]
ANEW = "trained anew from the first step, looped"


@dataclass(frozen=True)
class Group:
    """Members that have one batch size: neighboring rows."""

    rows: slice
    first: int  # of all in the run that have it
    examples: ExampleSet
    order: BatchOrder
    own: OwnExamples | None
    execution: Execution
    whole: Batch | None  # what every step's batch is, where it is all that a member has

    def gradient(self, step: int, out: Tensor, audit: int | None) -> Tensor:
        """The losses (rows,) of this step's batches; their gradients are written to `out`.

        Args:
            step: counted from 0.
            out: (rows, parameters).
            audit: a member of the run that is computed again alone, if it is among these rows.
        """
        batch = self.whole or _batch(self.examples, self.order, self.own, step)
        here = audit is not None and self.rows.start <= audit < self.rows.stop
        return self.execution.gradient(batch, out, step, audit=audit - self.rows.start if here else None)


class Loop:
    """A run while it is trained; `advance` moves its state on, in place.

    Args:
        state: where the run is.
        plans: how to evaluate "gradient" and "outputs": "auto", "stacked", "looped" or a `Plan`; afterwards
            the attribute of this name holds the plans in use.
        observers: see `train`.
        part: which members of a run these are, if not all; grid, population and state are those of the part.
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
        part: Part | None = None,
    ) -> None:
        self.problem, self.recipe, self.grid, self.state = problem, recipe, grid, state
        self.part = part or Part(0, len(state.theta), state.began)
        self.members = members = replace(population, theta=state.theta, buffers=state.buffers)
        # Rules that look ahead or ascend take their gradient at a point of its own, all others at theta itself. A
        # member's point is done with once its gradient is there, which may take its place if it is the last one.
        self.updaters = Updaters(
            recipe.optimizer, state.theta, state.slots, state.fresh_since, problem.layout, population.mask
        )
        away = recipe.optimizer.looks_ahead or self.updaters.ascent is not None
        self.point = state.theta.clone() if away else state.theta
        self.gradient = self.point if recipe.optimizer.looks_ahead else torch.empty_like(state.theta)
        ahead = replace(members, theta=self.point)
        self.groups = _groups(problem, grid, ahead, plans["gradient"], recipe.steps - state.step)
        self.evaluators, outputs = _evaluators(problem, recipe, grid, members, state, plans["outputs"], self.part)
        self.plans: dict[str, Plan] = {"gradient": self.groups[0].execution.plan, "outputs": outputs}
        self.began, self.beginnings = state.began.to(state.theta.device), set(self.part.began.tolist())
        self.active = torch.empty(0)  # members (members,) that have begun and not diverged
        self.all_active = False
        self.running = {name: (buffer, buffer.clone()) for name, buffer in members.running.items()}
        self.mask = None if population.mask is None else population.mask.to(state.theta.dtype)
        self.observers, self.said = observers, False
        first = min(self.beginnings)
        self.heard_from = state.step if state.step == first else state.step + 1  # of observers: the first step
        self.audits = Schedule(grid.seeds[0], first, recipe.steps)
        self.evaluation_audits = Schedule(grid.seeds[0], 0, len(state.evaluation_steps))
        self._begin()
        for observer in observers:
            if hasattr(observer, "begin"):
                observer.begin(state.slots)

    def advance(self, until: int, checkpoints: Checkpoints, progress: Watcher) -> None:
        """Train up to step `until`, evaluating and keeping snapshots on the way.

        Raises:
            StackedDiffers: an audit found that stacked members are not what the plain module gives.
            KeyboardInterrupt: Ctrl-C, after the step under way and a checkpoint.
            Exception: whatever an observer raises, after a checkpoint.
        """
        start, first = time.perf_counter(), self.state.step
        # Where members have threads of their own, the update has one too: a step then has the bits of a process
        # with one thread.
        alone = one_thread if self.plans["gradient"].threads > 1 else contextlib.nullcontext
        with deferred() as interrupt:
            if first == min(self.beginnings):
                self._record()
                self._observe(checkpoints)
            while self.state.step < until:
                with alone():
                    self._step()
                if self.state.step in self.beginnings:
                    self._begin()
                self._record()
                self._observe(checkpoints)
                done = self.state.step - first
                progress(Progress("training", done, until - first, time.perf_counter() - start))
                if interrupt.requested or checkpoints.due():
                    checkpoints.write(self.state, self.plans)
                if interrupt.requested:
                    raise KeyboardInterrupt
        if self.state.step == self.recipe.steps:
            self.state.origin = None  # nothing sends it back any more

    def keep_origin(self, begun: Beginning) -> None:
        """Keep where the run began, which is still untouched, for as long as an audit may send it back there."""
        stacked = any(plan.mode == "stacked" for plan in self._all_plans())
        self.state.origin = (self.state.origin or begun.kept()) if stacked else None

    def anew(self, reason: str) -> "Loop":
        """The same run before its first step, looped for that reason; observers hear again what they heard."""
        state, recipe = self.state, self.recipe
        if state.origin is None:
            msg = f"{reason}, which needs the run's beginning: train it again without resume."
            raise ModelError(msg)
        fresh = initial(self.problem, recipe, state.origin.copy())
        state.load(fresh.tensors(), fresh.step)  # in place: observers may hold the population
        plan = Plan("looped", 1, reason)
        plans = {"gradient": plan, "outputs": plan}
        for observer in self.observers:
            if hasattr(observer, "forget"):
                observer.forget(self.heard_from)
        loop = Loop(self.problem, recipe, self.grid, self.members, state, plans, self.observers)
        loop.heard_from = self.heard_from
        return loop

    def _all_plans(self) -> list[Plan]:
        executions = [*(group.execution for group in self.groups), *(one.execution for one in self.evaluators.values())]
        return [execution.plan for execution in executions]

    def _begin(self) -> None:
        """Take in the members that have begun by now; gradients of the others are not taken."""
        begun = self.began <= self.state.step
        self.active = begun & (self.state.diverged_at < 0)
        self.all_active = bool(self.active.all())
        if not begun.all():
            self.gradient.zero_()  # of those that have not begun: memory as it was found
        for group in self.groups:
            before = self.part.begun_before(group.first, self.state.step) if group.rows.start == 0 else 0
            group.execution.attend(begun[group.rows].tolist(), before)

    def _step(self) -> None:
        """One update of every active member."""
        state = self.state
        h = self.grid.at(state.step + 1)
        for buffer, before in self.running.values():
            before.copy_(buffer)
        if self.recipe.optimizer.looks_ahead:
            self.updaters.look_ahead(h, out=self.point)
        elif self.point is not state.theta:
            self.point.copy_(state.theta)
        losses = self._gradient()
        if self.updaters.ascent is not None:
            self._ascend(self.updaters.ascent, h)
        self._watch_divergence(losses)
        if not self.all_active:
            for buffer, before in self.running.values():
                buffer[~self.active] = before[~self.active]
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        if self.grid.clip_norm is not None:
            self.gradient.mul_(clipping(self.gradient, self.grid.clip_norm))
        self.updaters.step(self.gradient, h, None if self.all_active else self.active)
        state.batch_loss[state.step] = losses if self.all_active else losses.masked_fill(~self.active, torch.nan)
        state.step += 1

    def _gradient(self) -> Tensor:
        """The losses (members,) of this step's batches at the point; their gradients are in `gradient`."""
        step = self.state.step
        member = drawn_member(self.grid.seeds[0], step, self.active) if self.audits.due(step) else None
        parts = [group.gradient(step, self.gradient[group.rows], member) for group in self.groups]
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
            which = ", ".join(str(self.part.start + member) for member in found.nonzero().flatten().tolist())
            msg = (
                f"The loss counts no target in the batch of step {self.state.step + 1} of member {which}: its gradient "
                "is zero and its batch_loss NaN, there and in further such steps. Larger batches make it rarer."
            )
            warnings.warn(msg, stacklevel=2)
        return found

    def _freeze(self, finite: Tensor, step: int) -> None:
        self.state.diverged_at[self.active & ~finite] = step
        self.active &= finite
        self.all_active = bool(self.active.all())

    def _record(self) -> None:
        """Evaluate and keep a snapshot where the recipe wants it."""
        state = self.state
        if state.step in state.snapshot_steps:
            place = state.snapshot_steps.index(state.step)
            state.snapshots[place] = state.theta
            state.snapshots[place, self.began > state.step] = torch.nan
            for name, kept in state.snapshot_buffers.items():
                kept[place] = state.buffers[name]
            for name, kept in state.snapshot_slots.items():
                kept[place] = state.slots[name]
        if state.step in state.evaluation_steps:
            row = state.evaluation_steps.index(state.step)
            # Saturated units hide an infinite theta from loss and gradient, and after the last step nobody asks them.
            self._freeze(torch.isfinite(state.theta.sum(1)), state.step)
            absent = ~self.active.cpu()
            cells = self._audited(row)
            for split, evaluator in self.evaluators.items():
                for name, values in evaluator(cells.get(split, {})).items():
                    state.metrics[f"{split}_{name}"][row] = values.masked_fill(absent, torch.nan)

    def _audited(self, row: int) -> dict[str, Audited]:
        """What is audited of an evaluation: outputs of a member on a batch of one of the sets, all at random."""
        if not self.evaluation_audits.due(row):
            return {}
        seed, step, splits = self.grid.seeds[0], self.state.step, list(self.evaluators)
        split = splits[int(torch.randint(len(splits), (), generator=generator(seed, "audit set", step)))]
        return {split: self.evaluators[split].audit(seed, step, self.active)}

    def _observe(self, checkpoints: Checkpoints) -> None:
        """Call the observers whose turn it is; where one fails, nothing of the run is lost."""
        step = self.state.step
        for observer in self.observers:
            if step < self.heard_from or step % getattr(observer, "every", 1):
                continue
            try:
                observer(step, self.members)
            except Exception as error:
                checkpoints.write(self.state, self.plans)
                error.add_note(f"Raised after step {step} by {observer!r}, which observes the training.")
                raise


def _evaluators(
    problem: Problem, recipe: Recipe, grid: MemberGrid, members: Population, state: State, plan: Plan | str, part: Part
) -> tuple[dict[str, Evaluator], Plan]:
    """One for each set of examples, and their plan, measured on the larger: its chunk fits the memory for both."""
    data, times = problem.data, sum(at >= state.step for at in state.evaluation_steps)
    sets: dict[str, tuple[ExampleSet, Tensor | None]] = {}
    own = grid.own_examples()
    if own is None:
        sets["train"] = recipe.evaluate_train_on.draw(problem).examples, None
    else:
        drawn = recipe.evaluate_train_on.indices(own.count)
        positions = torch.arange(own.count) if drawn is None else drawn
        sets["train"] = data.train, own.take(positions.unsqueeze(0))
    if data.test is not None:
        sets["test"] = data.test, grid.tested_on()
    sizes = {split: len(examples) if rows is None else rows.shape[1] for split, (examples, rows) in sets.items()}
    order = sorted(sets, key=lambda split: -sizes[split])
    made: dict[str, Evaluator] = {}
    for split in order:
        examples, rows = sets[split]
        window = Window(part.start, part.start)
        made[split] = Evaluator(problem, members, examples, rows=rows, plan=plan, times=times, window=window)
        plan = made[split].execution.plan
    return {split: made[split] for split in sets}, made[order[0]].execution.plan


def _groups(problem: Problem, grid: MemberGrid, members: Population, plan: Plan | str, steps: int) -> list[Group]:
    """The members by batch size; the plan is measured on the largest, so that its chunk fits the memory for all."""
    train, groups = problem.data.train, []
    count = grid.trained_on(len(train))
    for group in sorted(grid.groups(count), key=lambda group: -group.batch_size):
        rows, window, seeds = group.rows, group.window, grid.seeds[group.rows]
        batch = _batch(train, group.order, group.own, 0)
        execution = Execution(problem, members[rows], batch, plan=plan, seeds=seeds, calls=steps, window=window)
        plan = execution.plan
        whole = batch if group.batch_size == count and isinstance(train, Examples) else None
        first = window.first - window.before
        groups.append(Group(rows, first, train, group.order, group.own, execution, whole))
    return sorted(groups, key=lambda group: group.rows.start)


def _batch(examples: ExampleSet, order: BatchOrder, own: OwnExamples | None, step: int) -> Batch:
    indices = order.indices(step)
    return Batch.of(examples, indices if own is None else own.take(indices))
