"""How far the loss on random lines is from convex."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.landscape.directions import random
from thalweg.landscape.views import line
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Reading, Result
from thalweg.statistics import standard_error

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Roughness(Result):
    """What `roughness` found.

    Args:
        reading: "roughness" (member), the mean over lines, with its standard error; "roughness by line"
            (line, member); and "loss" (line, member, a), a being the coordinate along a line.
    """

    def figure(self, member: int = 0) -> Figure:
        """The roughest line of a member, with the largest convex function below it.

        Raises:
            UsageError: no such member.
        """
        table = self["roughness by line"]
        if not 0 <= member < table.shape[1]:
            msg = f"There is no member {member}; there are {table.shape[1]} (0 to {table.shape[1] - 1})."
            raise UsageError(msg)
        values = self["loss"][int(np.nan_to_num(table[:, member], nan=-1).argmax()), member]
        at = self.reading.coordinate("a")
        marks = (Line(at, values, label="loss"), Line(at, convex_envelope(values), label="convex below it"))
        y = Axis("loss", self.reading.units["loss"])
        return Figure.of("The roughest line", marks, Axis("coordinate"), y, caption=" ".join(self.reading.notes))


@guarded
def roughness(
    problem: Problem,
    population: Population,
    *,
    lines: int = 8,
    direction: str = "filter",
    span: float = 1.0,
    resolution: int = 41,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "frozen",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Roughness:
    """How far the loss on random lines through every member is from convex, by its range there.

        rms over t of (loss(t) - convex(t)) / (max loss - min loss),    convex being the largest convex function below

    It is 0 where the loss is convex, and less than 1; convex is not quadratic.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = tw.landscape.roughness(problem, problem.initialize(2), lines=2, resolution=11)
    >>> bool((found["roughness"] < 1e-6).all())  # of a linear network the cross-entropy is convex
    True

    Args:
        problem, population: what is evaluated, and where; they are only read.
        lines: how many, the same random draws for every member.
        direction: how they are normalized (see `directions.random`).
        span: from -span to span; coordinate 1 is one direction long.
        resolution: points on a line.
        on, statistics, statistics_count, plan, seed, progress: see `plane`.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: lines x resolution evaluations of every member.
    """
    check_count("roughness lines", lines)
    check_count("roughness resolution", resolution, 3)
    began, surfaces = time.perf_counter(), []
    with watched(progress) as told:
        for number in range(lines):
            surfaces.append(
                line(
                    problem,
                    population,
                    direction=random(population, normalization=direction, seed=seed, number=number),
                    span=span,
                    resolution=resolution,
                    on=on,
                    statistics=statistics,
                    statistics_count=statistics_count,
                    plan=plan,
                    seed=seed,
                )
            )
            told(Progress("roughness", number + 1, lines, time.perf_counter() - began))
    first = surfaces[0].reading
    losses = np.stack([surface["loss"] for surface in surfaces])
    by_line = distance_from_convex(losses)
    return Roughness(
        Reading(
            "roughness on random lines",
            {"roughness": by_line.mean(0), "roughness by line": by_line, "loss": losses},
            {"roughness": ("member",), "roughness by line": ("line", "member"), "loss": ("line", "member", "a")},
            {"member": first.coordinate("member"), "a": surfaces[0].coordinates[0]},
            {"loss": problem.loss.unit},
            {"roughness": standard_error(by_line, axis=0)},
            degrees_of_freedom={"roughness": lines - 1},
            sample_size=first.sample_size,
            cost=Cost(time.perf_counter() - began, forwards=sum(one.reading.cost.forwards for one in surfaces)),
            provenance=first.provenance,
            notes=(*first.notes, f"On {lines} lines from {-span:g} to {span:g}."),
        )
    )


@in_words
def distance_from_convex(lines: Array) -> Array:
    """The root mean square distance from the largest convex function below, by the range: (..., points) to (...).

    0 where values at equal distances are convex, less than 1 elsewhere; NaN where one is not finite.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> at = np.linspace(-1, 1, 5)
    >>> tw.landscape.distance_from_convex(np.stack([at**2, -np.abs(at)])).round(3).tolist()
    [0.0, 0.548]
    """
    flat = np.asarray(lines, dtype=np.float64).reshape(-1, np.shape(lines)[-1])
    above = np.array([values - convex_envelope(values) for values in flat])
    span = np.ptp(flat, axis=1)
    found = np.divide(np.sqrt((above**2).mean(1)), span, out=np.zeros_like(span), where=span != 0)
    return found.reshape(np.shape(lines)[:-1])


def convex_envelope(values: Array) -> Array:
    """The largest convex function below values at equal distances, their lower convex hull: (points,).

    NaN where one of them is not finite.
    """
    if not np.isfinite(values).all():
        return np.full(len(values), np.nan)
    corners: list[int] = []
    for point in range(len(values)):
        while len(corners) > 1:
            before, last = corners[-2:]
            rise = (values[point] - values[before]) * (last - before)
            if (values[last] - values[before]) * (point - before) < rise:
                break
            corners.pop()
        corners.append(point)
    return np.interp(np.arange(len(values)), corners, values[corners])
