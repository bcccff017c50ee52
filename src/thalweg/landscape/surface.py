"""The loss on a line or plane around a point, with an error bar at every point."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError, check_choice, check_type
from thalweg.evaluation.points import Points, everywhere
from thalweg.evaluation.running_statistics import tracked
from thalweg.evaluation.sample import sampled
from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, SurfacePlot
from thalweg.landscape.adaptive import values_from_few
from thalweg.landscape.directions import NORMALIZATIONS, checked, orthogonal, random
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Cost, Provenance, Reading
from thalweg.results.default_figure import band

EXAMPLES = ("train", "test")
_LEANING = (
    "At some points the change from the center is that of fewer than 30 of the examples, so that its error may be too "
    "small; a larger limit helps."
)
_ROWS = 64  # points in memory at once,
_FEW = 8  # or where a few are chosen: nodes come by multiples of 8
_EXPECTED = 64  # points that are evaluated then, roughly
_SAMPLE = 256  # examples at least, or an eighth of all, that the nearby cheaper loss is on


@dataclass(frozen=True, eq=False)
class Surface:
    """Loss and metrics on a grid around every member.

    Args:
        coordinates: of each axis, in units of its direction: (points,) each.
        directions: one a member and axis: (members, parameters) each.
        reading: "loss" and every metric, (member, a) on a line and (member, a, b) on a plane, with standard errors; NaN
            where a point could not be evaluated. a is along the first direction.
    """

    coordinates: tuple[NDArray[np.float64], ...]
    directions: tuple[Float[Tensor, "members parameters"], ...] = field(repr=False)
    reading: Reading

    def __getitem__(self, metric: str) -> NDArray[np.float64]:
        """The values of one metric."""
        return self.reading[metric]

    def figure(self, metric: str = "loss", member: int = 0) -> Figure:
        """A line with its 95 % band, or a map with contours; of one member.

        Raises:
            UsageError: no such metric or member.
        """
        values = self._of(metric, member)
        unit, note = self.reading.units.get(metric, ""), " ".join(self.reading.notes)
        if len(self.coordinates) == 1:
            error = self.reading.standard_errors[metric][member]
            line = Line(self.coordinates[0], values, **band(values, error if error.any() else None))
            return Figure.of(f"{metric} on a line", (line,), Axis("coordinate"), Axis(metric, unit), caption=note)
        x, y = self.coordinates
        marks = (HeatMap(x, y, values.T), Contour(x, y, values.T))
        axes = Axis("first direction"), Axis("second direction"), Axis(metric, unit)
        return Figure.of(f"{metric} on a plane", marks, *axes, caption=note)

    def relief(self, metric: str = "loss", member: int = 0) -> Figure:
        """The same plane in three dimensions.

        Raises:
            UsageError: a line, or no such metric or member.
        """
        if len(self.coordinates) != 2:
            msg = "A line has no relief; call figure(), or make a plane."
            raise UsageError(msg)
        x, y = self.coordinates
        axes = Axis("first direction"), Axis("second direction"), Axis(metric, self.reading.units.get(metric, ""))
        mark = SurfacePlot(x, y, self._of(metric, member).T)
        return Figure.of(f"{metric} on a plane", (mark,), *axes, caption=" ".join(self.reading.notes))

    def _of(self, metric: str, member: int) -> NDArray[np.float64]:
        values = self.reading[metric]
        if not 0 <= member < len(values):
            msg = f"There is no member {member}; the surface has {len(values)} (0 to {len(values) - 1})."
            raise UsageError(msg)
        return values[member]


def surface_on(
    name: str,
    problem: Problem,
    population: Population,
    wanted: Sequence[str | Tensor],
    axes: Sequence[NDArray[np.float64]],
    *,
    tolerance: float | None = None,
    to: Population | None = None,
    examples: str | ExampleSet = "train",
    limit: int | None = None,
    statistics: str = "frozen",
    statistics_limit: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher = ignore,
) -> Surface:
    """Loss and metrics on the grid of these axes, along directions that are given or drawn."""
    began = time.perf_counter()
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    check_type(f"{name} seed", seed, int, "a whole number")
    if tolerance is not None:
        check_type(f"{name} tolerance", tolerance, (int, float), "a share of the range such as 0.01")
        if not 0 < tolerance < 1:
            msg = f"{name} tolerance must be between 0 and 1, a share of the range; got {tolerance}."
            raise UsageError(msg)
    living = population.theta.isfinite().all(1)
    directions = checked(population, _drawn(name, population, wanted, seed), living)
    if not living.any():
        msg = f"No member of the population is finite, so there is nothing to see on a {name}."
        raise UsageError(msg)
    if len(directions) > 1:
        orthogonal([direction[living] for direction in directions])  # raises where they do not span a plane
    chosen = _examples(name, problem, examples)
    size = int(np.prod([len(axis) for axis in axes]))
    most = max(1, problem.memory_budget // (population.theta[0].numel() * population.theta.element_size()))
    rows = min(_ROWS if tolerance is None else _FEW, size, most)

    def points_on(these: ExampleSet) -> Points:
        return Points(
            problem,
            population[living.nonzero().flatten()],
            these,
            limit=limit,
            statistics=statistics,
            statistics_limit=statistics_limit,
            plan=plan,
            seed=seed,
            rows=rows,
            times=math.ceil((size if tolerance is None else _EXPECTED) / rows),
            ends=None if to is None else to[living.nonzero().flatten()],
        )

    whole, label = points_on(chosen), f"loss on a {name}"
    along = [direction[living] for direction in directions]
    if tolerance is None:
        grid = torch.cartesian_prod(*map(torch.as_tensor, axes)).view(size, -1)
        values = everywhere(whole, along, grid, label, progress)
    else:
        part = max(_SAMPLE, whole.whole // 8)
        some = limit is None and 4 * part <= whole.whole
        sample = points_on(chosen.select(sampled(whole.whole, part, seed))) if some else None
        values = values_from_few(
            whole, sample, along, axes, tolerance=tolerance, seed=seed, label=label, progress=progress
        )

    def placed(found: NDArray[Any]) -> NDArray[Any]:
        """Of every member, on the grid; NaN of those that are not finite."""
        table = np.full((len(population), size), np.nan)
        table[living.cpu().numpy()] = found
        return table.reshape(len(population), *(len(axis) for axis in axes))

    dims = ("member", "a", "b")[: 1 + len(axes)]
    reading = Reading(
        f"loss on a {name}",
        {metric: placed(found) for metric, found in values.means.items()}
        | {"evaluated": placed(values.evaluated) == 1},
        dict.fromkeys((*values.means, "evaluated"), dims),
        {"member": np.arange(len(population))} | dict(zip(dims[1:], axes, strict=True)),
        {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics},
        {metric: placed(found) for metric, found in values.errors.items()},
        sample_size=whole.limit or whole.whole,
        cost=Cost(time.perf_counter() - began, forwards=values.evaluations),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=str(whole.plan)),
        notes=(
            _on_what(problem, whole, examples, statistics),
            *_along(wanted, to),
            *values.notes,
            *_gone(values.means["loss"][values.evaluated]),
            *_members_gone(living),
            *([_LEANING] if whole.leaning else []),
        ),
    )
    return Surface(tuple(axes), tuple(directions), reading)


def _drawn(name: str, population: Population, wanted: Sequence[str | Tensor], seed: int) -> list[Tensor]:
    """Directions, random ones drawn where they are asked for by a name."""
    made: list[Tensor] = []
    for number, one in enumerate(wanted):
        if isinstance(one, str):
            check_choice(f"{name} directions", one, NORMALIZATIONS)
            made.append(random(population, normalization=one, seed=seed, number=number))
        else:
            made.append(one)
    return made


def _on_what(problem: Problem, points: Points, examples: str | ExampleSet, statistics: str) -> str:
    count = f"all {points.whole}" if points.limit is None else f"{points.limit} of {points.whole}"
    which = f" {examples}" if isinstance(examples, str) else ""
    policy = f"; running statistics of normalization layers: {statistics}" if tracked(problem) else ""
    return f"On {count}{which} examples{policy}."


def _along(wanted: Sequence[str | Tensor], to: Population | None) -> tuple[str, ...]:
    drawn = [one for one in wanted if isinstance(one, str)]
    if to is not None or not drawn:
        return ()
    return ("Random directions" + ("." if drawn[0] == "none" else f" in units of each {drawn[0]}'s weights."),)


def _gone(losses: NDArray[np.float64]) -> tuple[str, ...]:
    missing = int(np.isnan(losses).sum())
    return (f"{missing} of {losses.size} points are not finite and left out.",) if missing else ()


def _members_gone(living: Tensor) -> tuple[str, ...]:
    gone = (~living).nonzero().flatten().tolist()
    return (f"Not finite, so not seen: member {', '.join(map(str, gone))}.",) if gone else ()


def _examples(name: str, problem: Problem, examples: str | ExampleSet) -> ExampleSet:
    if not isinstance(examples, str):
        check_type(
            f"{name} examples", examples, (Examples, LazyExamples), '"train", "test" or examples such as data.train'
        )
        return examples
    check_choice(f"{name} examples", examples, EXAMPLES)
    if examples == "train":
        return problem.data.train
    if problem.data.test is None:
        msg = f"{problem.data.name!r} has no test examples; write examples='train', or give some."
        raise UsageError(msg)
    return problem.data.test
