"""The one loop by which rows on paths are trained: those of curves, of simplexes and of strings.

A path has control rows, some fixed and some trained. At every step points on all paths, which are weighted sums of
their control rows, are evaluated as one population on one batch, and the gradients there are brought back onto the
trained rows by the same weights.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.evaluation.anchors import check_anchors
from thalweg.guard import guarded
from thalweg.optim import Rule, StepHyperparameters, Updater
from thalweg.optim.decay import decays, shrinkage
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.population import Batch, Execution, Plan, Population, Problem
from thalweg.population.threads import one_thread
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import BatchOrder, stream_key
from thalweg.training import MemberGrid, Recipe
from thalweg.training.clipping import clipping
from thalweg.training.interrupt import deferred

Weights = Float[Tensor, "paths points controls"]
Control = Float[Tensor, "controls paths parameters"]


@dataclass(frozen=True, eq=False)
class Found:
    """What a step of `descend` has found before it moves the trained rows, for functions that change it.

    >>> import torch
    >>> from thalweg.connectivity import Found
    >>> def all_but_one(found: Found) -> None:  # a `change` that keeps the first parameter where it is
    ...     found.gradient[..., 0] = 0
    >>> found = Found(0, torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1, 2), torch.ones(1, 1, 2))
    >>> all_but_one(found)
    >>> found.gradient.tolist()
    [[[0.0, 1.0]]]

    Args:
        step: counted from 0.
        weights: of the control rows at the points: (paths, points, controls).
        losses: at the points, on this step's batch: (paths, points).
        control: all control rows; only to be read.
        gradient: of the trained rows, weight decay in it, to be changed in place: (trained, paths, parameters).
        state: what the rule remembers of the trained rows, by name, which it changes in place: (trained * paths, ...).
    """

    step: int
    weights: Weights
    losses: Float[Tensor, "paths points"]
    control: Control
    gradient: Float[Tensor, "trained paths parameters"]
    state: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Descended:
    """What `descend` returns.

    Args:
        control: the control rows, a population of one member a path for each; fixed ones are those given.
        losses: mean over the points of a path on the batch of every step: (steps, paths); NaN where it is not active.
        diverged_at: the step, counted from 1, whose loss, gradient or result was not finite: (paths,); -1: none.
        plan: by which the points were evaluated.
    """

    control: list[Population]
    losses: Float[Tensor, "steps paths"]
    diverged_at: Int64[Tensor, " paths"]
    plan: Plan


@guarded
def descend(
    problem: Problem,
    control: Sequence[Population],
    trained: slice,
    weights: Callable[[int], Weights],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    active: Bool[Tensor, " paths"] | None = None,
    share: float | None = None,
    change: Callable[[Found], object] | None = None,
    move: Callable[[Control], object] | None = None,
    first_step: int = 0,
    label: str = "curves",
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Descended:
    """Train some control rows of paths so that the loss at points on the paths falls.

        point[i] = sum over k of w[i, k] control[k]
        gradient[k] = share  sum over i of w[i, k] (dL / d point[i] + weight_decay point[i])

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> first, middle, last = problem.initialize([0, 1]), problem.initialize([2, 3]), problem.initialize([4, 5])
    >>> half = torch.tensor([[0.25, 0.5, 0.25]]).expand(2, 1, 3)
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=5, batch_size=50)
    >>> found = tw.connectivity.descend(
    ...     problem, [first, middle, last], slice(1, 2), lambda step: half, recipe, seeds=[0, 0]
    ... )
    >>> found.losses.shape, found.control[0] is first, bool((found.losses[-1] < found.losses[0]).all())
    (torch.Size([5, 2]), True, True)

    Args:
        problem: whose loss on training examples falls.
        control: populations of one member a path, for each control row; only read.
        trained: which of them are trained: neighbors, by position.
        weights: a function of the step (from `first_step` on) that gives the points (paths, points, controls), as many
            at every step; it is random by streams of (seed, purpose, step), if at all.
        recipe: rule, schedule, batch size, steps and clipping (of each trained row); without sweeps.
        seeds: of each path: of the order of its batches and of what the model draws. Equal seeds share batches.
        active: which paths are trained, the others staying as they are: (paths,); None: all.
        share: of a point's loss in what falls; None is one over the number of points, whose mean falls then.
        change: called with what every step found, to change the gradient of the trained rows in place.
        move: called with all control rows after every step, to move the trained ones in place.
        first_step: what batches and points are counted from; the schedule and the rule start anew.
        label: of the progress.
        plan: see `train`.
        progress: told after every step.

    Layers that normalize by the batch do so; the running statistics that come of it are thrown away. Weight decay is
    that of the points, as if they were being trained: with decay="l2" it goes the way of the gradient, and decoupled
    it moves the trained rows straight by - s share sum over i of w[i, k] point[i], where training shrinks a network by
    the factor 1 - s. Rules with a decay formula of their own, those that take whole matrices and optimizers of torch
    shrink the trained rows themselves instead. Masks that all populations have hold for trained rows, joined.

    Raises:
        UsageError: a recipe with sweeps, or populations and seeds that do not fit.
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: a gradient a point and step. Memory: two rows a point.

    Source: Garipov et al., 2018, arXiv:1802.10026.
    """
    check_recipe(label, recipe)
    check_anchors(label, control)
    if len(seeds) != len(control[0]):
        msg = f"{label} need a seed for each of {len(control[0])} members; got {len(seeds)}."
        raise UsageError(msg)
    paths = _Paths(problem, control, trained, weights, recipe, seeds, active, share, change, move, first_step, plan)
    began, losses = time.perf_counter(), control[0].theta.new_full((recipe.steps, len(seeds)), torch.nan)
    alone = one_thread if paths.execution.plan.threads > 1 else contextlib.nullcontext
    with deferred() as interrupt, watched(progress) as told, torch.no_grad():
        for step in range(recipe.steps):
            if not paths.active.any():
                break
            with alone():
                losses[step] = paths.step(step)
            told(Progress(label, step + 1, recipe.steps, time.perf_counter() - began))
            if interrupt.requested:
                raise KeyboardInterrupt
    paths.watch_end()
    return Descended(paths.populations(), losses, paths.diverged_at, paths.execution.plan)


def check_recipe(name: str, recipe: object) -> None:
    """Raise UsageError unless this is a recipe with one value of everything; `name` is who asks."""
    check_type(f"{name} recipe", recipe, Recipe, "a Recipe such as Recipe(optim.Momentum(0.1), steps=600)")
    assert isinstance(recipe, Recipe)
    swept = MemberGrid(recipe, [0]).values
    if swept:
        msg = f"{name} take one value of everything, and the recipe sweeps {', '.join(swept)}; write one call for each."
        raise UsageError(msg)


class _Paths:
    """Control rows of paths while they are trained."""

    def __init__(
        self,
        problem: Problem,
        control: Sequence[Population],
        trained: slice,
        weights: Callable[[int], Weights],
        recipe: Recipe,
        seeds: Sequence[int],
        active: Bool[Tensor, " paths"] | None,
        share: float | None,
        change: Callable[[Found], object] | None,
        move: Callable[[Control], object] | None,
        first_step: int,
        plan: Plan | str,
    ) -> None:
        self.problem, self.given, self.recipe, self.first_step = problem, list(control), recipe, first_step
        self.change, self.move, self.grid = change, move, MemberGrid(recipe, [0])
        self.positions = range(len(control))[trained]
        self.weights = lambda step: weights(first_step + step).to(self.control)
        self.control = torch.stack([one.theta for one in control])
        first = self.control[:1].expand_as(self.control)  # where rows are fixed nothing is ahead of them
        paths, points, _ = self.weights(0).shape
        parameters = first.shape[-1]
        self.share = 1 / points if share is None else share
        self.rows = self.control[trained].view(-1, parameters)  # (trained * paths, parameters), of which each is a view
        self.gradient = torch.empty_like(self.rows)
        mask = _joined([one.mask for one in control])
        self.mask = None if mask is None else mask.repeat(len(self.positions), 1)
        if self.mask is not None:
            self.rows.mul_(self.mask)
        self.updater = Updater(recipe.optimizer, self.rows, None, problem.layout, self.mask)
        away = recipe.optimizer.looks_ahead or self.updater.ascent is not None
        self.ahead = self.control.clone() if away else self.control
        self.points = first.new_empty(paths, points, parameters)
        self.there = torch.empty_like(self.points)
        count = len(problem.data.train)
        size = self.grid.groups(count)[0].batch_size
        self.order = BatchOrder(list(seeds), count, size)
        self.whole = Batch.range(problem.data.train, 0, count) if size == count else None
        self._place(self.weights(0))
        buffers = {name: buffer.repeat_interleave(points, 0) for name, buffer in control[0].buffers.items()}
        scratch = replace(control[0], theta=self.points.view(-1, parameters), buffers=buffers, mask=None)
        streams = [stream_key(seed, "point", point) for seed in seeds for point in range(points)]
        self.execution = Execution(problem, scratch, self._batch(0), plan=plan, seeds=streams, calls=recipe.steps)
        self.diverged_at = torch.full((paths,), -1, device=first.device)
        self.active = torch.ones(paths, dtype=torch.bool, device=first.device)
        self.all_active = True
        if active is not None and not active.all():
            self._freeze(~active.to(first.device))

    def step(self, step: int) -> Float[Tensor, " paths"]:
        """One update of the trained rows of all active paths; the mean losses at their points."""
        h, weights = self.grid.at(step + 1), self.weights(step)
        own = h if not self._pulls_decay else StepHyperparameters(h.numbers | {"weight_decay": 0.0}, h.step)
        if self.recipe.optimizer.looks_ahead:
            self.updater.look_ahead(own, out=self._trained(self.ahead).view_as(self.rows))
        elif self.ahead is not self.control:
            self.ahead.copy_(self.control)
        batch = self._batch(self.first_step + step)
        losses = self._gradient(weights, batch, step)
        if self.updater.ascent is not None:
            self.updater.ascent.ascend(self.rows, self.gradient, own, out=self._trained(self.ahead).view_as(self.rows))
            self._gradient(weights, batch, step)
        self._watch(losses, step)
        if self.recipe.clip_norm is not None:
            self.gradient.mul_(clipping(self.gradient, self.recipe.clip_norm))
        self._decay(weights, h)
        if self.change is not None:
            self.change(Found(step, weights, losses, self.control, self.gradient.view(self._shape), self.updater.state))
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        self.updater.step(self.gradient, own, None if self.all_active else self._of_rows(self.active))
        if self.move is not None:
            frozen = self.control[:, ~self.active]
            self.move(self.control)
            self.control[:, ~self.active] = frozen
        return losses.mean(1).masked_fill(~self.active, torch.nan)

    def watch_end(self) -> None:
        """Name the paths that the last step made infinite, of which no loss is taken any more."""
        finite = self.rows.view(self._shape).isfinite().all(2).all(0)
        self.diverged_at[self.active & ~finite] = self.first_step + self.recipe.steps

    def populations(self) -> list[Population]:
        """The control rows as populations."""
        masks = [self.mask[: len(one)] if self.mask is not None else None for one in self.given]
        return [
            replace(one, theta=self.control[k].clone(), mask=masks[k]).with_own_buffers()
            if k in self.positions
            else one
            for k, one in enumerate(self.given)
        ]

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Of the trained rows."""
        return len(self.positions), len(self.active), self.rows.shape[1]

    def _trained(self, control: Control) -> Tensor:
        return control[self.positions.start : self.positions.stop]

    def _of_rows(self, active: Bool[Tensor, " paths"]) -> Bool[Tensor, " rows"]:
        return active.repeat(len(self.positions))

    def _place(self, weights: Weights) -> None:
        """Write the points."""
        torch.bmm(weights, self.ahead.transpose(0, 1), out=self.points)

    def _batch(self, step: int) -> Batch:
        if self.whole is not None:
            return self.whole
        indices = self.order.indices(step)
        points = self.points.shape[1]
        return Batch.of(self.problem.data.train, indices if len(indices) == 1 else indices.repeat_interleave(points, 0))

    def _gradient(self, weights: Weights, batch: Batch, step: int) -> Float[Tensor, "paths points"]:
        """The losses at the points, whose gradients are brought back onto the trained rows."""
        self._place(weights)
        there = self.there.view(-1, self.rows.shape[1])
        losses = self.execution.gradient(batch, out=there, step=self.first_step + step)
        torch.bmm(self._back(weights), self.there, out=self.gradient.view(self._shape).transpose(0, 1))
        return losses.view(self.points.shape[:2])

    def _back(self, weights: Weights) -> Float[Tensor, "paths trained points"]:
        return (self.share * weights[:, :, self.positions.start : self.positions.stop]).transpose(1, 2)

    @property
    def _pulls_decay(self) -> bool:
        """Whether the decay is that of the points, and not the rule's own of the trained rows."""
        rule = self.updater.rule
        return type(rule).decayed is Rule.decayed and not isinstance(rule, MatrixRule) and not self._of_torch

    @property
    def _of_torch(self) -> bool:
        return self.updater.torch_optimizers is not None

    def _decay(self, weights: Weights, h: StepHyperparameters) -> None:
        """Weight decay at the points, brought back onto the trained rows."""
        if not self._pulls_decay or not decays(h):
            return
        rule, back = self.updater.rule, torch.bmm(self._back(weights), weights)
        pulled = torch.bmm(back, self.control.transpose(0, 1)).transpose(0, 1).reshape(self.rows.shape)
        if rule.decay_on is not None:
            pulled.mul_(self.problem.layout.where(*rule.decay_on).to(pulled))
        if rule.decay == "l2":
            self.gradient.add_(pulled, alpha=float(h.weight_decay))
        else:
            pulled[~self._of_rows(self.active)] = 0
            self.rows.sub_(pulled, alpha=float(shrinkage(rule.decay, h)))

    def _watch(self, losses: Float[Tensor, "paths points"], step: int) -> None:
        """Freeze the paths whose losses or gradients are not finite."""
        if math.isfinite(float(losses.sum() + self.gradient.sum())):
            return
        fine = losses.isfinite()
        if self.problem.loss.weighted:  # a batch in which no target counts: its mean is NaN, its gradient zero
            fine |= losses.isnan() & (self.there == 0).all(2)
        finite = fine.all(1) & self.gradient.view(self._shape).isfinite().all(2).all(0)
        self.diverged_at[self.active & ~finite] = self.first_step + step + 1
        self._freeze(~finite)

    def _freeze(self, which: Bool[Tensor, " paths"]) -> None:
        """Leave these paths as they are from now on."""
        self.active &= ~which
        self.all_active = bool(self.active.all())
        self.there[~self.active] = 0
        self.gradient.view(self._shape)[:, ~self.active] = 0
        self.execution.attend(self.active.repeat_interleave(self.points.shape[1]).tolist())


def _joined(masks: Sequence[Tensor | None]) -> Tensor | None:
    """Where any of the masks is True; None where not all of them are masks."""
    given = [mask for mask in masks if mask is not None]
    return torch.stack(given).any(0) if given and len(given) == len(masks) else None
