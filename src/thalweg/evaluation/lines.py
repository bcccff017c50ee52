"""Loss and metrics on the straight lines between the members of two populations."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.data import ExampleSet
from thalweg.errors import check_count
from thalweg.evaluation.anchors import check_anchors
from thalweg.evaluation.conditions import Conditions
from thalweg.evaluation.heights import line_heights
from thalweg.evaluation.points import AT_ONCE, Points, everywhere
from thalweg.evaluation.sample import Sample
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lines(Result):
    """What `lines` found.

    Args:
        reading: "loss" and every metric (member, t) on the lines, with standard errors; "loss barrier" (member), and
            of accuracy "accuracy barrier", by how much it falls below the straight interpolation (see `line_heights`).
    """

    def figure(self, metric: str = "loss") -> Figure:
        """A metric on every member's line.

        Raises:
            UsageError: no such metric.
        """
        t, height = self.reading.coordinate("t"), self[f"{metric} barrier"]
        marks = [Line(t, one, label=f"{at:.3g}") for one, at in zip(self[metric], height, strict=True)]
        y = Axis(metric, self.reading.units.get(metric, ""))
        caption = f"Lines are named by their barriers. {' '.join(self.reading.notes)}"
        return Figure.of(f"{metric} between two networks", marks, Axis("t"), y, caption=caption)


@guarded
def lines(
    problem: Problem,
    first: Population,
    second: Population,
    *,
    points: int = 25,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Lines:
    """Loss and metrics on the straight line between two networks, member by member, and how high it rises.

        theta(t) = (1 - t) theta_first + t theta_second

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = tw.evaluation.lines(problem, problem.initialize([0, 1]), problem.initialize([2, 3]), points=5)
    >>> found["loss"].shape, found["loss barrier"].tolist()  # of a linear network the cross-entropy is convex
    ((2, 5), [0.0, 0.0])

    Args:
        problem: what is evaluated.
        first, second: with as many members; only read.
        points: on a line, both ends among them.
        on, statistics, statistics_count, plan, seed, progress: see `weighted_sums`.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: an evaluation a point and member.

    Paper: Entezari et al., 2021, arXiv:2110.06296. `connectivity.barrier` gives this height, others, and intervals.
    """
    began = time.perf_counter()
    check_count("lines points", points, 2)
    conditions = Conditions.of(
        "lines", problem, on=on, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seed
    )
    check_anchors("lines", [first, second])
    t = np.linspace(0, 1, points)
    rows = min(AT_ONCE, points)
    on_lines = Points([first, second], conditions, rows=rows, times=-(-points // rows))
    with watched(progress) as told:
        weights = torch.from_numpy(np.stack([1 - t, t], axis=1))
        found = everywhere(on_lines, weights, "lines", told)
    heights = {
        f"{name} barrier": line_heights(-values if name == "accuracy" else values, name).barrier
        for name, values in found.means.items()
    }
    units = {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics}
    reading = Reading(
        "lines between networks",
        {**found.means, **heights},
        dict.fromkeys(found.means, ("member", "t")) | dict.fromkeys(heights, ("member",)),
        {"member": np.arange(len(first)), "t": t},
        units | {f"{name} barrier": unit for name, unit in units.items()},
        dict(found.standard_errors),
        sample_size=len(conditions.drawn),
        cost=Cost(time.perf_counter() - began, forwards=found.evaluations),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=str(on_lines.plan)),
        notes=(conditions.text, *found.notes),
    )
    return Lines(reading)
