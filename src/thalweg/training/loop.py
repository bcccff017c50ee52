"""The training loop: whole populations, one step at a time."""

import time

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim import Updater
from thalweg.population import Batch, Evaluator, Execution, Plan, Population, Problem
from thalweg.progress import Progress, Watcher
from thalweg.randomness import BatchOrder
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.interrupt import deferred
from thalweg.training.recipe import Recipe, Unfolded, batch_size_of
from thalweg.training.state import State, beginning


class Loop:
    """A run while it is trained; `advance` moves it on.

    Attributes:
        state: all arrays of the run, changed in place.
        plans: how gradients and outputs are evaluated, as asked for and then as chosen.
        seconds: time spent in `advance`.
    """

    def __init__(self, problem: Problem, recipe: Recipe, unfolded: Unfolded, population: Population) -> None:
        self.problem, self.recipe, self.unfolded, self.population = problem, recipe, unfolded, population
        self.evaluated = {"train": problem.data.train} | ({"test": problem.data.test} if problem.data.test else {})
        self.state = self._room(beginning(population, recipe.optimizer.slots))
        self.plans: dict[str, Plan | str] = {"gradient": "auto", "outputs": "auto"}
        self.seconds = 0.0
        examples = len(problem.data.train)
        self.order = BatchOrder(unfolded.seeds, examples, batch_size_of(recipe, examples))

    def advance(self, until: int, checkpoints: Checkpoints, watch: Watcher) -> None:
        """Train up to step `until`, evaluating and keeping snapshots on the way.

        Raises:
            KeyboardInterrupt: Ctrl-C, after the step under way and a checkpoint.
        """
        start, first = time.perf_counter(), self.state.step
        with deferred() as interrupt:
            self._prepare()
            if self.state.step == 0:
                self._record(0)
            while self.state.step < until:
                self._step()
                self._record(self.state.step)
                done = self.state.step
                watch(Progress("training", done - first, until - first, time.perf_counter() - start))
                if interrupt.requested or checkpoints.due():
                    checkpoints.write(self.state, self.plans)
                if interrupt.requested:
                    raise KeyboardInterrupt
        self.seconds += time.perf_counter() - start

    def _prepare(self) -> None:
        """Choose the plans on the first batch, and make room for the gradient."""
        state, rule = self.state, self.recipe.optimizer
        batch = self._batch(state.step)
        self.point = torch.empty_like(state.theta) if rule.looks_ahead else state.theta
        here = Population(self.point, state.buffers, self.population.layout, self.population.template)
        if rule.looks_ahead:
            self.point.copy_(state.theta)
        self.execution = Execution(self.problem, here, batch, plan=self.plans["gradient"], seeds=self.unfolded.seeds)
        self.plans["gradient"] = self.execution.plan
        self.gradient = torch.empty_like(state.theta)
        members = Population(state.theta, state.buffers, self.population.layout, self.population.template)
        self.evaluators = {}
        for split, examples in self.evaluated.items():
            limit = self.recipe.evaluate_train_on if split == "train" else None
            self.evaluators[split] = Evaluator(self.problem, members, examples, limit=limit, plan=self.plans["outputs"])
            self.plans["outputs"] = self.evaluators[split].execution.plan
        self.updater = Updater(rule, state.theta, state.slots)
        self.alive = state.diverged_at < 0
        self.mask = None if self.population.mask is None else self.population.mask.to(state.theta.dtype)

    def _step(self) -> None:
        """One update of every living member."""
        state = self.state
        h = self.unfolded.at(state.step + 1, state.theta)
        if self.recipe.optimizer.looks_ahead:
            self.updater.look_ahead(h, out=self.point)
        losses = self.execution.gradient(self._batch(state.step), out=self.gradient, step=state.step)
        self._watch_divergence(losses)
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        if self.unfolded.clip_norm is not None:
            self.gradient.mul_(_clipping(self.gradient, self.unfolded.clip_norm))
        self.updater.step(self.gradient, h, None if self.all_alive else self.alive)
        state.batch_loss[state.step] = losses.masked_fill(~self.alive, torch.nan)
        state.step += 1

    def _watch_divergence(self, losses: Tensor) -> None:
        """Mark members whose loss or gradient is not finite; they will not be updated again."""
        finite = torch.isfinite(losses) & torch.isfinite(self.gradient.sum(1))
        fallen = self.alive & ~finite
        self.state.diverged_at[fallen] = self.state.step + 1
        self.alive &= finite
        self.all_alive = bool(self.alive.all())

    def _batch(self, step: int) -> Batch:
        return Batch.of(self.problem.data.train, self.order.indices(step))

    def _record(self, step: int) -> None:
        """Evaluate and keep a snapshot where the recipe wants it."""
        if step in self.recipe.snapshot_steps:
            self.state.snapshots[self.recipe.snapshot_steps.index(step)] = self.state.theta
        if step not in self.recipe.evaluation_steps:
            return
        row = self.recipe.evaluation_steps.index(step)
        dead = ~self.alive.cpu()
        for split, evaluator in self.evaluators.items():
            for name, values in evaluator().items():
                self.state.metrics[f"{split}_{name}"][row] = values.masked_fill(dead, torch.nan)

    def _room(self, state: State) -> State:
        """Room for everything that will be recorded, so that every checkpoint has the same arrays."""
        members, like = self.unfolded.members, state.theta
        names = ["loss", *(metric.name for metric in self.problem.metrics)]
        evaluations, snapshots = len(self.recipe.evaluation_steps), len(self.recipe.snapshot_steps)
        for split in self.evaluated:
            for name in names:
                empty = torch.full((evaluations, members), torch.nan, dtype=torch.float64)
                state.metrics[f"{split}_{name}"] = empty
        state.batch_loss = like.new_full((self.recipe.steps, members), torch.nan)
        state.snapshots = like.new_full((snapshots, *like.shape), torch.nan)
        state.diverged_at = state.diverged_at.to(like.device)
        return state


def starting(problem: Problem, unfolded: Unfolded, start: Population | None, mask: Tensor | None) -> Population:
    """The members before the first step, in memory of their own."""
    if start is None:
        distinct = sorted(set(unfolded.seeds))
        population = problem.initialize(distinct)[[distinct.index(seed) for seed in unfolded.seeds]]
    elif len(start) not in (1, unfolded.members):
        msg = f"start has {len(start)} members; expected 1, or one for each of the {unfolded.members} trained."
        raise UsageError(msg)
    else:
        population = (start if len(start) == unfolded.members else start[[0] * unfolded.members]).copy()
    return population if mask is None else population.with_mask(mask)


def _clipping(gradient: Tensor, longest: object) -> Tensor:
    """min(1, longest / |g|) for each member, as a column."""
    norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    limit = torch.as_tensor(longest, dtype=gradient.dtype, device=gradient.device).reshape(-1, 1)
    return (limit / norm.clamp_min(torch.finfo(gradient.dtype).tiny)).clamp_max(1.0)
