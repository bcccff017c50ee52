"""Loss and error on paths, straight lines above all, and what they would be on resampled examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.connectivity.ends import Pairs
from thalweg.connectivity.resamples import Resamples
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, Entries, advancing
from thalweg.population import Population
from thalweg.progress import Watcher

Array = NDArray[np.float64]
_BYTES = 16  # of a value and its weight


@dataclass(frozen=True, eq=False)
class LineValues:
    """What is on lines from start to end, or on other paths, on one set of examples.

    Args:
        values: "loss" and, where there is an accuracy, "error": (member, t).
        resampled: the same on resampled examples: (member, resamples, t); empty without.
        evaluations: points evaluated.
        plan: how, in words.
    """

    values: dict[str, Array]
    resampled: dict[str, Array]
    evaluations: int
    plan: str


def line_values(
    pairs: Pairs, conditions: Conditions, points: int, resamples: int, *, seed: int, label: str, progress: Watcher
) -> LineValues:
    """Loss and error from the start of every pair to its end.

    A pair of one network twice is evaluated once, and its line has that value everywhere.
    """
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    anchors, weights, same = [pairs.start, pairs.end], torch.stack([1 - t, t], 1), pairs.same.tolist()
    return path_values(anchors, weights, conditions, resamples, same=same, seed=seed, label=label, progress=progress)


def path_values(
    anchors: Sequence[Population],
    weights: Tensor,
    conditions: Conditions,
    resamples: int,
    *,
    same: Sequence[bool],
    seed: int,
    label: str,
    progress: Watcher,
) -> LineValues:
    """Loss and error at weighted sums (points, anchors) of every member's anchors; of resamples the same on all paths.

    Args:
        anchors: with as many members each.
        weights: of the anchors at every point.
        conditions: of the evaluation.
        resamples: of the examples; 0 for none.
        same: of which members the anchors are one network: evaluated once, the path has that value everywhere.
        seed: of the resamples.
        label: of what progress is told.
        progress: who is told.
    """
    problem, examples, points = conditions.problem, conditions.drawn.examples, len(weights)
    conditions = replace(conditions, drawn=Sample(examples).draw(problem))  # with no others to estimate from
    functions = 1 + len(problem.metrics)
    rows = max(1, min(AT_ONCE, points, problem.memory_budget // (len(examples) * functions * _BYTES)))
    on_path = Points(anchors, conditions, rows=rows, times=-(-points // rows) * len(same))
    again = Resamples(len(examples), resamples, seed) if resamples else None
    names = ["loss", *(metric.name for metric in problem.metrics if metric.name == "accuracy")]
    values = {name: np.empty((len(same), points)) for name in names}
    drawn = {name: np.empty((len(same), resamples, points)) for name in names} if again else {}
    advance = advancing(label, len(same) * points, progress)
    for member, one_network in enumerate(same):
        for place, found in on_path.entries(member, weights[:1] if one_network else weights, advance):
            there = slice(None) if one_network else place
            for name in names:
                values[name][member, there] = _mean(found[name])
                if again:
                    drawn[name][member, :, there] = again.means(*found[name])
    lines, resampled = ({_error(name): _finite(name, table) for name, table in one.items()} for one in (values, drawn))
    return LineValues(lines, resampled, on_path.evaluations, str(on_path.plan))


def _mean(entries: Entries) -> Array:
    """The mean over examples: (points,)."""
    values, weights = entries
    return (values.mean(1) if weights is None else (values * weights).sum(1) / weights.sum(1)).numpy()


def _error(name: str) -> str:
    return "error" if name == "accuracy" else name


def _finite(name: str, table: Array) -> Array:
    """The error of an accuracy, anything else as it is; NaN where it is not finite."""
    return np.where(np.isfinite(table), 1 - table if name == "accuracy" else table, np.nan)
