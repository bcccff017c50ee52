"""Loss and metrics of networks at many points of a line or plane, all on the same examples."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count
from thalweg.evaluation import Evaluator
from thalweg.evaluation.evaluate import fastest_batch
from thalweg.evaluation.running_statistics import POLICIES, Recomputed, tracked
from thalweg.evaluation.sample import sampled
from thalweg.population import Plan, Population, Problem
from thalweg.population.derivatives import check_steady
from thalweg.progress import Progress, Watcher

Array = NDArray[np.float64]
Grid = Float[Tensor, "points directions"]
Advance = Callable[[int], None]  # called with how many further points are done
_FEW = 30  # examples by which most of a mean changes: with fewer, its error is not to be trusted


@dataclass(frozen=True, eq=False)
class Estimates:
    """What was found at points: by name of the metric, (members, points) each.

    Args:
        means: over the examples, or estimated from some of them; NaN where the loss is not finite.
        errors: standard errors of the estimates; 0 where every example was evaluated.
        evaluated: which points were evaluated, all others being interpolated: (members, points).
        evaluations: points evaluated, of all members, in passes over the examples.
        notes: what a reader should know of how they were found.
    """

    means: dict[str, Array]
    errors: dict[str, Array]
    evaluated: NDArray[np.bool_]
    evaluations: int
    notes: tuple[str, ...] = ()


class Points:
    """The neighborhood of every member of a population: `at` evaluates it.

    With a limit, the same random examples are seen at every point, and the mean difference from the center on them is
    added to the center's value on all examples (common random numbers with a control variate): an error is that of this
    mean difference, for a sample without replacement. The center itself is evaluated directly. Close to the center of a
    trained network most examples hardly change and a few change much; a sample that has none of these few shows an
    error that is too small (of intervals by 100 of 1,437 digits, 72 to 86 % covered there, and 95 % farther out).

    Args:
        problem: what is evaluated.
        centers: one member or several, with buffers.
        examples: on which.
        limit: so many of them at every point but the center; None is all.
        statistics: "frozen": normalization layers keep the center's running statistics everywhere; "interpolate": they
            go in a straight line to those of `ends` at coordinate 1; "recompute": at every point they take those of
            `statistics_limit` training examples anew.
        statistics_limit: how many.
        plan: see `train`.
        seed: of the streams that draw the examples.
        rows: points in memory at once.
        times: how often so many will be evaluated, roughly.
        ends: where the first direction leads each member, for "interpolate".

    Attributes:
        evaluations: points evaluated so far.
        leaning: whether an estimate leaned on a few examples.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model that draws random numbers in evaluation mode.
    """

    def __init__(
        self,
        problem: Problem,
        centers: Population,
        examples: ExampleSet,
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
        check_choice("statistics", statistics, POLICIES)
        check_count("statistics_limit", statistics_limit, 2)
        if statistics == "interpolate" and ends is None:
            msg = 'statistics="interpolate" needs a line to another population: landscape.line(problem, one, to=other).'
            raise UsageError(msg)
        if limit is not None:
            check_count("limit", limit, 2)
        check_steady(problem, "points cannot be compared")
        problem.check(centers)
        self.problem, self.centers, self.whole = problem, centers, len(examples)
        self.limit = None if limit is None or limit >= self.whole else limit
        self.chosen = None if self.limit is None else sampled(self.whole, self.limit, seed)
        self.ends = ends if statistics == "interpolate" else None
        self.theta = centers.theta[:1].expand(rows, -1).clone()
        buffers = {name: buffer[:1].expand(rows, *buffer.shape[1:]).clone() for name, buffer in centers.buffers.items()}
        self.scratch = replace(centers, theta=self.theta, buffers=buffers, mask=None)
        settled = centers
        self.renewed: Recomputed | None = None
        if statistics == "recompute" and tracked(problem):
            self.renewed = Recomputed(problem, self.scratch, statistics_limit, plan, seed)
            settled = centers.copy()
            Recomputed(problem, settled, statistics_limit, plan, seed).renew()
        subset = examples if self.chosen is None else examples.select(self.chosen)
        size, how = fastest_batch(problem, self.scratch, subset, plan=plan, times=times)
        self.evaluator = Evaluator(problem, self.scratch, subset, plan=how, times=times, batch_size=size)
        self.exact, self.base = self._homes(Evaluator(problem, settled, examples, plan=plan))
        self.evaluations, self.leaning = 0, False

    @property
    def plan(self) -> Plan:
        """How points are evaluated."""
        return self.evaluator.execution.plan

    def at(
        self, member: int, directions: Sequence[Float[Tensor, "members parameters"]], grid: Grid, advance: Advance
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Means and standard errors (points,) of one member's center + grid @ directions."""
        means = {name: np.full(len(grid), np.nan) for name in self.exact}
        errors = {name: np.zeros(len(grid)) for name in self.exact}
        home = (grid == 0).all(1)
        plane = torch.stack([direction[member] for direction in directions])
        for name, buffer in self.centers.buffers.items():
            self.scratch.buffers[name].copy_(buffer[member].expand_as(self.scratch.buffers[name]))
        for some in (~home).nonzero().flatten().split(len(self.theta)):
            torch.addmm(self.centers.theta[member], grid[some].to(plane), plane, out=self.theta[: len(some)])
            self._lead(member, grid[some, 0])
            for name, (mean, error) in self._evaluate(member, len(some)).items():
                means[name][some.numpy()], errors[name][some.numpy()] = mean, error
            self.evaluations += len(some)
            advance(len(some))
        for name, values in self.exact.items():
            means[name][home.numpy()] = values[member]
        gone = ~np.isfinite(means["loss"])
        for name, values in means.items():
            there = gone | ~np.isfinite(values)
            values[there], errors[name][there] = np.nan, np.nan
        return means, errors

    def _evaluate(self, member: int, count: int) -> dict[str, tuple[Array, Array]]:
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
            if name == "loss":
                effective = change.abs().sum(1) ** 2 / change.square().sum(1)
                self.leaning = self.leaning or bool((effective < _FEW).any())
        return found

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

    def _homes(self, evaluator: Evaluator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values of every member itself: (members,) on all examples, and (members, limit) on each of those chosen."""
        if self.chosen is None:
            return evaluator(), {}
        each = evaluator.by_example()
        exact = {name: values.mean(1) for name, values in each.items()}
        return exact, {name: values[:, self.chosen] for name, values in each.items()}


def everywhere(
    points: Points,
    directions: Sequence[Float[Tensor, "members parameters"]],
    grid: Grid,
    label: str,
    progress: Watcher,
) -> Estimates:
    """Every point of the grid, of every member."""
    members = range(len(points.centers))
    advance = advancing(label, len(members) * len(grid), progress)
    found = [points.at(member, directions, grid, advance) for member in members]
    means, errors = ({name: np.stack([one[part][name] for one in found]) for name in points.exact} for part in (0, 1))
    return Estimates(means, errors, np.ones((len(members), len(grid)), dtype=bool), points.evaluations)


def advancing(label: str, total: int, progress: Watcher) -> Advance:
    """A count of points done that tells the watcher."""
    began, done = time.perf_counter(), 0

    def advance(count: int) -> None:
        nonlocal done
        done = min(done + count, total)
        progress(Progress(label, done, total, time.perf_counter() - began))

    return advance
