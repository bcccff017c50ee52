"""Loss and metrics at weighted sums of given networks: lines, planes, curves and simplexes, on the same examples."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation.anchors import check_anchors
from thalweg.evaluation.batch_size import fastest_batch
from thalweg.evaluation.conditions import Conditions
from thalweg.evaluation.evaluate import Evaluator, check_counted
from thalweg.evaluation.running_statistics import RunningStatistics
from thalweg.evaluation.sample import Sample
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.population.derivatives import check_steady
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Summarized
from thalweg.results.summary import spanned

Array = NDArray[np.float64]
Weights = Float[Tensor, "points anchors"]
Entries = tuple[Tensor, Tensor | None]  # values and weights by example
Advance = Callable[[int], None]  # called with how many further points are done
AT_ONCE = 64  # points in memory at once
_FEW = 30  # examples by which most of a mean changes: with fewer, its error is not to be trusted
_FEW_EFFECTIVE = (
    "At some points the change from the first anchor is that of fewer than 30 of the examples, so that its error may "
    "be too small; a Sample of more examples helps."
)


@dataclass(frozen=True, eq=False)
class PointEstimates(Summarized):
    """What was found at points: by name of the metric, (members, points) each.

    >>> import thalweg as tw, torch
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> pair, middle = problem.initialize(2), torch.tensor([[0.5, 0.5]])
    >>> tw.evaluation.weighted_sums(problem, [pair[0], pair[1]], middle).means["loss"].shape
    (1, 1)

    Args:
        means: over the examples, or estimated from some of them; NaN where the loss is not finite.
        standard_errors: standard errors of the estimates; 0 where every example was evaluated.
        evaluated: which points were evaluated, all others being interpolated: (members, points).
        evaluations: points evaluated, of all members, in passes over the examples.
        notes: what a reader should know of how they were found.
    """

    means: dict[str, Array]
    standard_errors: dict[str, Array]
    evaluated: NDArray[np.bool_]
    evaluations: int
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, str]:
        """How many points were evaluated, and the range of every metric."""
        members, points = self.evaluated.shape
        ranges = {name: spanned(values) for name, values in self.means.items()}
        return {"points": f"{points:,} of {members:,} members, {self.evaluated.sum():,} evaluated", **ranges}

    def remarks(self) -> tuple[str, ...]:
        """The notes."""
        return self.notes

    def __getitem__(self, metric: str) -> Array:
        """The means of one metric: (members, points)."""
        return self.means[metric]


class Points:
    """Networks at weighted sums of the rows of anchors; `at` evaluates them.

        theta[point] = sum over anchors of weights[point, anchor] theta[anchor]        for every member

    A line from a to b has the anchors (a, b) and the weights (1 - t, t); a plane has (center, d1, d2) and (1, x, y),
    directions being anchors too; a Bezier curve has its control points and Bernstein's polynomials; a simplex has its
    corners and weights that sum to 1. Running statistics go the way of the `Conditions`; with "interpolate" they are
    the same weighted sums.

    On a sample of examples, the same ones are seen at every point, and the mean difference from the first anchor on
    them is added to the first anchor's value on all examples (common random numbers with a control variate): an error
    is that of this mean difference, for a sample without replacement. Where the loss is weighted, means are ratios
    sum(w l) / sum(w), and the error is that of their difference to first order, of w (l - ratio) / mean w at the point
    and at the anchor. The first anchor itself, weights (1, 0, ..., 0), is evaluated directly on all examples. Close to
    a trained network most examples hardly change and a few change much; a sample that has none of these few shows an
    error that is too small (of intervals by 100 of 1,437 digits, 72 to 86 % covered there, and 95 % farther out).

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> conditions = tw.evaluation.Conditions.of("curve", problem)
    >>> points = tw.evaluation.Points([problem.initialize([seed]) for seed in range(3)], conditions)
    >>> means, errors = points.at(0, torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.5, 0.25]]))
    >>> means["loss"].shape
    (2,)

    Args:
        anchors: networks or directions, each with as many members; the first lends its buffers. They are only read,
            and never copied once a point.
        conditions: on which examples, with which running statistics, by which plan.
        rows: points in memory at once, at most; fewer where they would not fit the problem's memory budget.
        times: how often as many points will be evaluated, roughly.

    Attributes:
        evaluations: points evaluated so far.
        few_effective_examples: whether an estimate owes most of its change to a few examples.

    Raises:
        UsageError: anchors of another problem, of different sizes or with different frozen parameters.
        ModelError: a model that draws random numbers in evaluation mode.
    """

    @in_words
    def __init__(
        self, anchors: Sequence[Population], conditions: Conditions, *, rows: int = AT_ONCE, times: int = 1
    ) -> None:
        problem, plan = conditions.problem, conditions.plan
        check_steady(problem, "points cannot be compared")
        check_anchors("Points", anchors)
        first = anchors[0]
        problem.check(first)
        self.anchors, self.conditions = list(anchors), conditions
        self.whole = len(conditions.drawn.whole)
        self.chosen = conditions.drawn.indices
        rows = max(1, min(rows, problem.memory_budget // (first.theta[0].numel() * first.theta.element_size())))
        self.theta = first.theta[:1].expand(rows, -1).clone()
        buffers = {name: buffer[:1].expand(rows, *buffer.shape[1:]).clone() for name, buffer in first.buffers.items()}
        self.scratch = replace(first, theta=self.theta, buffers=buffers, mask=None)
        settled, self.statistics = first, None
        if conditions.recomputes:
            examples, settled = conditions.statistics_examples, first.copy()
            self.statistics = RunningStatistics(problem, self.scratch, examples, plan=plan)
            RunningStatistics(problem, settled, examples, plan=plan).recompute()
        subset = conditions.drawn.examples
        size, how = fastest_batch(problem, self.scratch, subset, plan=plan, times=times)
        self.evaluator = Evaluator(problem, self.scratch, subset, plan=how, times=times, batch_size=size)
        self.exact, self.base = self._homes(Evaluator(problem, settled, conditions.drawn.whole, plan=plan))
        self.evaluations, self.few_effective_examples = 0, False

    def __len__(self) -> int:
        """Members of every anchor."""
        return len(self.anchors[0])

    @property
    def plan(self) -> Plan:
        """How points are evaluated."""
        return self.evaluator.execution.plan

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that belong to the estimates made so far."""
        return (_FEW_EFFECTIVE,) if self.few_effective_examples else ()

    def at(
        self, member: int, weights: Weights, advance: Advance = lambda count: None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Means and standard errors (points,) of one member's anchors, weighted; by name of the metric."""
        means = {name: np.full(len(weights), np.nan) for name in self.exact}
        errors = {name: np.zeros(len(weights)) for name in self.exact}
        home = (weights[:, 0] == 1) & (weights[:, 1:] == 0).all(1)
        rows = self._settle(member)
        for some in (~home).nonzero().flatten().split(len(self.theta)):
            self._move(member, rows, weights[some])
            for name, (mean, error) in self._evaluate(member, len(some)).items():
                means[name][some.numpy()], errors[name][some.numpy()] = mean, error
            self.evaluations += len(some)
            advance(len(some))
        for name, values in self.exact.items():
            means[name][home.numpy()] = values[member]
        for name, values in means.items():
            there = ~np.isfinite(values)
            values[there], errors[name][there] = np.nan, np.nan
        return means, errors

    def entries(
        self, member: int, weights: Weights, advance: Advance = lambda count: None
    ) -> Iterator[tuple[slice, dict[str, Entries]]]:
        """Values and weights by example at points of one member, as many points at once as are in memory.

        Every point, the first anchor too, is evaluated on the examples drawn and on no others, so that what is made of
        them (a maximum over points, resampled examples) treats all points alike.

        >>> import torch
        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> conditions = tw.evaluation.Conditions.of("line", problem, on=tw.Sample("test", 100))
        >>> points = tw.evaluation.Points([problem.initialize([0]), problem.initialize([1])], conditions)
        >>> [(at, found["loss"][0].shape) for at, found in points.entries(0, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))]
        [(slice(0, 2, None), torch.Size([2, 100]))]

        Returns:
            which points; and by name of the metric values (points, examples), and weights of that shape, or None.

        Memory: a number a point, example and metric, of as many points as `rows` of the constructor says.
        """
        rows = self._settle(member)
        for start in range(0, len(weights), len(self.theta)):
            some = weights[start : start + len(self.theta)]
            count = len(some)
            self._move(member, rows, some)
            if self.statistics is not None:
                self.statistics.recompute()
            found = self.evaluator.entries()
            self.evaluations += count
            advance(count)
            yield (
                slice(start, start + count),
                {name: (v[:count], None if w is None else w[:count]) for name, (v, w) in found.items()},
            )

    def _settle(self, member: int) -> Tensor:
        """Give the scratch one member's buffers; the rows of its anchors: (anchors, parameters)."""
        for name, buffer in self.anchors[0].buffers.items():
            self.scratch.buffers[name].copy_(buffer[member].expand_as(self.scratch.buffers[name]))
        return torch.stack([anchor.theta[member] for anchor in self.anchors])

    def _move(self, member: int, rows: Tensor, weights: Weights) -> None:
        """Put weighted sums of one member's anchors into the first rows of the scratch."""
        chosen, there = weights.to(rows), self.theta[: len(weights)]
        torch.mul(chosen[:, :1], rows[0], out=there)
        there.addmm_(chosen[:, 1:], rows[1:])
        if self.conditions.statistics == "interpolate":
            self._interpolate(member, weights)

    def _evaluate(self, member: int, count: int) -> dict[str, tuple[Array, Array]]:
        """Means and standard errors (count,) of the first rows of the scratch."""
        if self.statistics is not None:
            self.statistics.recompute()
        if self.chosen is None:
            return {name: (values[:count].numpy(), np.zeros(count)) for name, values in self.evaluator().items()}
        found, size = {}, len(self.chosen)
        for name, (values, weights) in self.evaluator.entries().items():
            first, lighter = self.base[name]
            if weights is None or lighter is None:
                change = residual = values[:count] - first[member]
            else:
                change, residual = _ratio_change(values[:count], weights[:count], first[member], lighter[member])
            spread = residual.std(1) * ((1 - size / self.whole) / size) ** 0.5
            found[name] = (self.exact[name][member] + change.mean(1)).numpy(), spread.numpy()
            if name == "loss":
                effective = change.abs().sum(1) ** 2 / change.square().sum(1)
                self.few_effective_examples |= bool((effective < _FEW).any())
        return found

    def _interpolate(self, member: int, weights: Weights) -> None:
        """Put weighted sums of the anchors' running statistics into the first rows of the scratch."""
        for name, first in self.anchors[0].running.items():
            if not first.is_floating_point():
                continue
            shares = weights.to(first).reshape(*weights.shape, *(1 for _ in first.shape[1:]))
            there = shares[:, 0] * first[member]
            for number, anchor in enumerate(self.anchors[1:], start=1):
                there = torch.addcmul(there, shares[:, number], anchor.buffers[name][member])
            # Beyond the anchors a variance may fall below zero, which no network has.
            self.scratch.buffers[name][: len(weights)] = there.clamp_min(0) if name.endswith("running_var") else there

    def _homes(self, evaluator: Evaluator) -> tuple[dict[str, Tensor], dict[str, Entries]]:
        """Values of the first anchor: (members,) on all examples, and (members, count) on each of those chosen."""
        if self.chosen is None:
            return evaluator(), {}
        exact: dict[str, Tensor] = {}
        chosen: dict[str, Entries] = {}
        for name, (values, weights) in evaluator.entries().items():
            if weights is None:
                exact[name], chosen[name] = values.mean(1), (values[:, self.chosen], None)
                continue
            exact[name] = (weights * values).sum(1) / weights.sum(1)
            some = weights[:, self.chosen]
            chosen[name] = values[:, self.chosen], some
            if name == "loss":
                check_counted(some.sum(1), len(self.chosen))
        return exact, chosen


def _ratio_change(values: Tensor, weights: Tensor, first: Tensor, lighter: Tensor) -> tuple[Tensor, Tensor]:
    """How a ratio sum(w l) / sum(w) changes from the first anchor: terms whose mean that is, and their residuals.

    To first order in the means of w l and w, the ratio R varies from sample to sample as the mean of w (l - R) / mean w
    (Cochran, 1977, Sampling Techniques, section 2.11); a difference of ratios on the same examples, as the difference.

    Args:
        values, weights: at the points: (points, examples).
        first, lighter: at the first anchor: (examples,).
    """
    there, here = weights / weights.mean(1, keepdim=True), lighter / lighter.mean()
    change = there * values - here * first
    ratio, base = (there * values).mean(1, keepdim=True), (here * first).mean()
    return change, change - (there * ratio - here * base)


@guarded
def weighted_sums(
    problem: Problem,
    anchors: Sequence[Population],
    weights: ArrayLike | Weights,
    *,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> PointEstimates:
    """Loss and metrics of every member at weighted sums of the anchors' parameters (see `Points`).

    Along a quadratic Bezier curve, whose control points are the members of one population:

    >>> import numpy as np
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> control, t = problem.initialize(3), np.linspace(0, 1, 5)
    >>> weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    >>> tw.evaluation.weighted_sums(problem, [control[0], control[1], control[2]], weights)["loss"].shape
    (1, 5)

    Args:
        problem: what is evaluated.
        anchors: a list of populations, each with as many members; they are only read.
        weights: of the anchors at every point, the same for all members: (points, anchors).
        on: the examples; on some of them, the figures are estimates with standard errors.
        statistics: of normalization layers: "recompute" those of `statistics_count` training examples at every point,
            "interpolate" the anchors' by the same weights, or "frozen" as the first anchor has them.
        plan: see `train`.
        seed: of the training examples drawn for "recompute".
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: an evaluation a point and member, and with "recompute" a pass over those examples. Memory: 64 points at once.
    """
    conditions = Conditions.of(
        "weighted_sums",
        problem,
        on=on,
        statistics=statistics,
        statistics_count=statistics_count,
        plan=plan,
        seed=seed,
    )
    table = torch.as_tensor(weights, dtype=torch.float64)
    check_anchors("weighted_sums", anchors)
    if table.ndim != 2 or table.shape[1] != len(anchors) or not len(table) or not table.isfinite().all():
        msg = f"weighted_sums weights must be finite, (points, {len(anchors)} anchors); got shape {tuple(table.shape)}."
        raise UsageError(msg)
    rows = min(AT_ONCE, len(table))
    points = Points(anchors, conditions, rows=rows, times=-(-len(table) // rows))
    with watched(progress) as told:
        return everywhere(points, table, "weighted sums", told)


def everywhere(points: Points, weights: Weights, label: str, progress: Watcher) -> PointEstimates:
    """Every point of every member."""
    members = range(len(points))
    advance = advancing(label, len(members) * len(weights), progress)
    found = [points.at(member, weights, advance) for member in members]
    means, errors = ({name: np.stack([one[part][name] for one in found]) for name in points.exact} for part in (0, 1))
    evaluated = np.ones((len(members), len(weights)), dtype=bool)
    return PointEstimates(means, errors, evaluated, points.evaluations, points.warnings)


def advancing(label: str, total: int, progress: Watcher) -> Advance:
    """A count of points done that tells the watcher."""
    began, done = time.perf_counter(), 0

    def advance(count: int) -> None:
        nonlocal done
        done = min(done + count, total)
        progress(Progress(label, done, total, time.perf_counter() - began))

    return advance
