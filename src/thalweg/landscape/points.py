"""Loss and metrics of networks at many points of a line or plane, all on the same examples."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data import Examples, Streamed
from thalweg.errors import ModelError, UsageError, check_choice, check_count
from thalweg.population import Batch, Evaluator, Execution, Plan, Population, Problem
from thalweg.population.evaluate import batch_size
from thalweg.progress import Progress, Watcher
from thalweg.randomness import generator

STATISTICS = ("frozen", "interpolate", "recompute")


@dataclass(frozen=True, eq=False)
class Values:
    """What was found at points: by name of the metric, (members, points) each.

    Args:
        means: over the examples, or estimated from some of them; NaN where they are not finite.
        errors: standard errors of the estimates; 0 where every example was evaluated.
        examples: evaluated at each point.
        evaluations: points evaluated, of all members.
        plan: how.
        evaluated: which points were evaluated, all others being interpolated: (points,).
        worst: the most by which interpolation missed a loss at the points held out, by its range; NaN without any.
    """

    means: dict[str, NDArray[np.float64]]
    errors: dict[str, NDArray[np.float64]]
    examples: int
    evaluations: int
    plan: Plan
    evaluated: NDArray[np.bool_]
    worst: float = np.nan


def sampled(whole: int, count: int, seed: int) -> Int64[Tensor, " count"]:
    """So many different examples of the whole, in ascending order, by the stream (seed, "surface examples")."""
    return torch.randperm(whole, generator=generator(seed, "surface examples"))[:count].sort().values


class Points:
    """The neighborhood of every member of a population: `at` evaluates it.

    With a limit, the same random examples are seen at every point, and the mean difference from the center on them is
    added to the center's value on all examples (common random numbers with a control variate): an error is that of this
    mean difference, for a sample without replacement. The center itself is evaluated directly.

    Args:
        problem: what is evaluated.
        centers: one member or several, with buffers.
        examples: on which.
        limit: so many of them at every point but the center; None is all.
        statistics: "frozen": normalization layers keep the center's running statistics everywhere; "interpolate": they
            go in a straight line to those of `ends` at coordinate 1; "recompute": at every point they take those of
            the first `statistics_limit` training examples anew.
        statistics_limit: how many.
        plan: see `train`.
        seed: of the stream (seed, "surface examples") that draws the examples.
        rows: points in memory at once.
        times: how often so many will be evaluated, roughly.
        ends: where the first direction leads each member, for "interpolate".

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model that draws random numbers in evaluation mode.
    """

    def __init__(
        self,
        problem: Problem,
        centers: Population,
        examples: Examples | Streamed,
        *,
        limit: int | None,
        statistics: str,
        statistics_limit: int,
        plan: Plan | str,
        seed: int,
        rows: int,
        times: int,
        ends: Population | None = None,
    ) -> None:
        check_choice("statistics", statistics, STATISTICS)
        check_count("statistics_limit", statistics_limit, 2)
        if statistics == "interpolate" and ends is None:
            msg = 'statistics="interpolate" needs a line to another population: landscape.line(problem, one, to=other).'
            raise UsageError(msg)
        if limit is not None:
            check_count("limit", limit, 2)
        if problem.draws(training=False):
            msg = (
                "The model or its loss draws random numbers in evaluation mode, so points cannot be compared; draw in "
                "training mode only (if self.training), or pass the draws as inputs."
            )
            raise ModelError(msg)
        problem.check(centers)
        self.problem, self.centers, self.whole = problem, centers, len(examples)
        self.limit = None if limit is None or limit >= self.whole else limit
        self.chosen = None if self.limit is None else sampled(self.whole, self.limit, seed)
        self.ends = ends if statistics == "interpolate" else None
        self.theta = centers.theta[:1].expand(rows, -1).clone()
        buffers = {name: buffer[:1].expand(rows, *buffer.shape[1:]).clone() for name, buffer in centers.buffers.items()}
        self.scratch = replace(centers, theta=self.theta, buffers=buffers, mask=None)
        normalized = any(isinstance(layer, _BatchNorm) for layer in problem.template.modules())
        self.renewed: _Statistics | None = None
        if statistics == "recompute" and normalized:
            train = problem.data.train
            batch = Batch.range(train, 0, min(statistics_limit, len(train)))
            self.renewed = _Statistics(problem, self.scratch, batch, plan)
        subset = examples if self.chosen is None else examples.select(self.chosen)
        size = batch_size(problem, self.scratch, subset, plan=plan, times=times)
        self.evaluator = Evaluator(problem, self.scratch, subset, plan=plan, times=times, batch_size=size)
        self.exact, self.base = self._centers(examples, plan)
        self.evaluations = 0

    def at(
        self,
        directions: Sequence[Float[Tensor, "members parameters"]],
        coordinates: Float[Tensor, "points directions"],
        label: str,
        watch: Watcher,
    ) -> Values:
        """Loss and metrics of centers + coordinates @ directions."""
        members, points = len(self.centers), len(coordinates)
        means = {name: np.full((members, points), np.nan) for name in self.exact}
        errors = {name: np.zeros((members, points)) for name in self.exact}
        home = (coordinates == 0).all(1)
        away = (~home).nonzero().flatten()
        began, done, total = time.perf_counter(), 0, max(1, members * len(away))
        for member in range(members):
            plane = torch.stack([direction[member] for direction in directions])
            self._settle(member)
            for some in away.split(len(self.theta)):
                steps = coordinates[some].to(plane)
                torch.addmm(self.centers.theta[member], steps, plane, out=self.theta[: len(some)])
                self._lead(member, coordinates[some, 0])
                for name, (mean, error) in self._evaluate(member, len(some)).items():
                    means[name][member, some.numpy()], errors[name][member, some.numpy()] = mean, error
                done += len(some)
                self.evaluations += len(some)
                watch(Progress(label, done, total, time.perf_counter() - began))
            for name, values in self.exact.items():
                means[name][member, home.numpy()] = values[member]
        for name, values in means.items():
            gone = ~np.isfinite(values)
            values[gone], errors[name][gone] = np.nan, np.nan
        plan, evaluated = self.evaluator.execution.plan, np.ones(points, dtype=bool)
        return Values(means, errors, self.limit or self.whole, self.evaluations, plan, evaluated)

    def _evaluate(self, member: int, count: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Means and standard errors (count,) of the first rows of the scratch."""
        if self.renewed is not None:
            self.renewed.renew()
        if self.limit is None:
            return {name: (values[:count].numpy(), np.zeros(count)) for name, values in self.evaluator().items()}
        found = {}
        for name, values in self.evaluator.by_example().items():
            change = values[:count] - self.base[name][member]
            spread = change.std(1) * ((1 - self.limit / self.whole) / self.limit) ** 0.5
            found[name] = (self.exact[name][member] + change.mean(1)).numpy(), spread.numpy()
        return found

    def _settle(self, member: int) -> None:
        """Give the scratch the buffers of a member."""
        for name, buffer in self.centers.buffers.items():
            self.scratch.buffers[name].copy_(buffer[member].expand_as(self.scratch.buffers[name]))

    def _lead(self, member: int, share: Float[Tensor, " points"]) -> None:
        """Move the buffers of the first rows of the scratch by that share of the way to the member's end."""
        if self.ends is None:
            return
        for name, start in self.centers.running.items():
            if start.is_floating_point():
                way = self.ends.buffers[name][member] - start[member]
                steps = share.to(way).reshape(-1, *(1 for _ in way.shape))
                there = torch.addcmul(start[member], steps, way)
                # Beyond the ends a variance may fall below zero, which no network has.
                self.scratch.buffers[name][: len(share)] = there.clamp_min(0) if name.endswith("running_var") else there

    def _centers(self, examples: Examples | Streamed, plan: Plan | str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values of every member itself: (members,) on all examples, and (members, limit) on each of those chosen."""
        centers = self.centers
        if self.renewed is not None:
            centers = centers.copy()
            _Statistics(self.problem, centers, self.renewed.batch, plan).renew()
        evaluator = Evaluator(self.problem, centers, examples, plan=plan)
        if self.chosen is None:
            return {name: values for name, values in evaluator().items()}, {}
        each = evaluator.by_example()
        exact = {name: values.mean(1) for name, values in each.items()}
        return exact, {name: values[:, self.chosen] for name, values in each.items()}


class _Statistics:
    """The running statistics of a population's normalization layers, made anew from one batch, in place.

    Args:
        population: read and written at every `renew`.
        batch: whose mean and (unbiased) variance the layers are to keep, as torch's do with momentum 1.
    """

    def __init__(self, problem: Problem, population: Population, batch: Batch, plan: Plan | str) -> None:
        self.batch = batch
        self.execution = Execution(problem, population, batch, plan=plan, training=False)
        for layer in self.execution.rows.bound.module.modules():
            if isinstance(layer, _BatchNorm) and layer.track_running_stats:
                layer.train()
                layer.momentum = 1.0

    @torch.no_grad()
    def renew(self) -> None:
        """One pass over the batch, whose outputs nobody wants."""
        for _ in self.execution.outputs(self.batch):
            pass
