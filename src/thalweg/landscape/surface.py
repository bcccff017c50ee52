"""The loss on a line or plane around a point, with an error bar at every point."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import Examples, Streamed
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.landscape.directions import NORMALIZATIONS, between, checked, random
from thalweg.landscape.points import Points
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Axis, Contour, Cost, Figure, HeatMap, Line, Provenance, Reading
from thalweg.results import Surface as SurfaceMark
from thalweg.results.overview import band

EXAMPLES = ("train", "test")


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
        unit, note = self.reading.units.get(metric, ""), self.reading.notes[0]
        if len(self.coordinates) == 1:
            error = self.reading.standard_errors[metric][member]
            line = Line(self.coordinates[0], values, **band(values, error if error.any() else None))
            return Figure(f"{metric} on a line", (line,), Axis("coordinate"), Axis(metric, unit), caption=note)
        x, y = self.coordinates
        marks = (HeatMap(x, y, values.T), Contour(x, y, values.T))
        axes = Axis("first direction"), Axis("second direction"), Axis(metric, unit)
        return Figure(f"{metric} on a plane", marks, *axes, caption=note)

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
        mark = SurfaceMark(x, y, self._of(metric, member).T)
        return Figure(f"{metric} on a plane", (mark,), *axes, caption=self.reading.notes[0])

    def _of(self, metric: str, member: int) -> NDArray[np.float64]:
        values = self.reading[metric]
        if not 0 <= member < len(values):
            msg = f"There is no member {member}; the surface has {len(values)} (0 to {len(values) - 1})."
            raise UsageError(msg)
        return values[member]


def line(
    problem: Problem,
    population: Population,
    *,
    direction: str | Tensor | None = None,
    to: Population | None = None,
    span: float | tuple[float, float] | None = None,
    resolution: int = 51,
    examples: str | Examples | Streamed = "train",
    limit: int | None = None,
    statistics: str = "frozen",
    statistics_limit: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    watch: Watcher = ignore,
) -> Surface:
    """Loss and metrics along one direction from every member.

    Args:
        problem, population: what is evaluated, and where; they are only read.
        direction: how a random one is normalized (see `directions.random`; None: "filter"), or a tensor (parameters,)
            or of theta's shape, such as an eigenvector.
        to: in place of a direction, where the line ends: the members of another population at coordinate 1.
        span: from -span to span, or from the first to the second; None: 0 to 1 with `to`, else -1 to 1.
        resolution: points.
        examples, limit, statistics, statistics_limit, plan, seed, watch: see `plane`.

    Raises:
        UsageError: arguments that cannot be meant; ModelError: see `plane`.

    Cost: resolution evaluations of every member.
    """
    if to is not None:
        check_type("line to", to, Population, "a Population")
        if direction is not None:
            msg = "A line goes along a direction or to a population; leave one of them out."
            raise UsageError(msg)
        direction = between(population, to)
    if span is None:
        span = 1.0 if to is None else (0.0, 1.0)
    return surface_on(
        "line",
        problem,
        population,
        ["filter" if direction is None else direction],
        [grid("line", span, resolution)],
        examples=examples,
        limit=limit,
        statistics=statistics,
        statistics_limit=statistics_limit,
        plan=plan,
        seed=seed,
        watch=watch,
    )


def plane(
    problem: Problem,
    population: Population,
    *,
    directions: str | Sequence[Tensor] = "filter",
    span: float | tuple[float, float] = 1.0,
    resolution: int = 51,
    examples: str | Examples | Streamed = "train",
    limit: int | None = None,
    statistics: str = "frozen",
    statistics_limit: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    watch: Watcher = ignore,
) -> Surface:
    """Loss and metrics on a square of the plane through every member (Li et al., 2018, arXiv:1712.09913).

    Args:
        problem, population: what is evaluated, and where; they are only read.
        directions: how two random ones are normalized, "filter", "layer", "member" or "none", or two tensors,
            (parameters,) or of theta's shape each.
        span: from -span to span along both, or from the first to the second; coordinate 1 is one direction long.
        resolution: points along each, odd to have the center among them.
        examples: "train", "test" or examples of one's own.
        limit: so many of them, the same at every point, chosen at random; None is all. The figures then are estimates
            whose standard errors are given (see `Points`).
        statistics: of normalization layers: "frozen" are the center's; "recompute" those of `statistics_limit`
            training examples at every point.
        plan: "auto" measures whether points are stacked; "stacked", "looped" or a `Plan` force.
        seed: of directions and chosen examples.
        watch: called with the progress.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: resolution^2 evaluations of every member. Memory: two directions, and 64 points at once.
    """
    if not isinstance(directions, str) and len(directions) != 2:
        msg = f"A plane needs two directions, or how to draw them; got {len(directions)}."
        raise UsageError(msg)
    chosen = [directions, directions] if isinstance(directions, str) else list(directions)
    return surface_on(
        "plane",
        problem,
        population,
        chosen,
        2 * [grid("plane", span, resolution)],
        examples=examples,
        limit=limit,
        statistics=statistics,
        statistics_limit=statistics_limit,
        plan=plan,
        seed=seed,
        watch=watch,
    )


def grid(name: str, span: float | tuple[float, float], resolution: int) -> NDArray[np.float64]:
    """Points of one axis at equal distances; 0 is exactly 0 where it is among them."""
    check_count(f"{name} resolution", resolution, 2)
    low, high = span if isinstance(span, tuple) else (-span, span)
    for end in (low, high):
        check_type(f"{name} span", end, (int, float), "a number above 0, or two that ascend")
    if not -np.inf < low < high < np.inf:
        msg = f"{name} span must be a number above 0, or two that ascend; got {span!r}."
        raise UsageError(msg)
    points = np.linspace(low, high, resolution)
    points[np.abs(points) < 1e-12 * (high - low)] = 0.0
    return points


def surface_on(
    name: str,
    problem: Problem,
    population: Population,
    wanted: Sequence[str | Tensor],
    axes: Sequence[NDArray[np.float64]],
    *,
    examples: str | Examples | Streamed = "train",
    limit: int | None = None,
    statistics: str = "frozen",
    statistics_limit: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    watch: Watcher = ignore,
) -> Surface:
    """Loss and metrics on the grid of these axes, along directions that are given or drawn."""
    began = time.perf_counter()
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    made: list[Tensor] = []
    for number, one in enumerate(wanted):
        if isinstance(one, str):
            check_choice(f"{name} directions", one, NORMALIZATIONS)
            made.append(random(population, normalization=one, seed=seed, number=number))
        else:
            made.append(one)
    directions = checked(population, made)
    coordinates = torch.cartesian_prod(*(torch.as_tensor(axis) for axis in axes)).reshape(-1, len(axes))
    points = Points(
        problem,
        population,
        _examples(name, problem, examples),
        limit=limit,
        statistics=statistics,
        statistics_limit=statistics_limit,
        plan=plan,
        seed=seed,
        points=len(coordinates),
    )
    values = points.at(directions, coordinates, f"loss on a {name}", watch)
    shape = (len(population), *(len(axis) for axis in axes))
    dims = ("member", "a", "b")[: 1 + len(axes)]
    missing = int(np.isnan(values.means["loss"]).sum())
    sample = "all" if points.limit is None else f"{points.limit} of"
    which = f" {examples}" if isinstance(examples, str) else ""
    notes = [
        f"On {sample} {points.whole}{which} examples; normalization layers: {statistics}.",
        *([f"{missing} of {values.means['loss'].size} points are not finite and left out."] if missing else []),
    ]
    reading = Reading(
        f"loss on a {name}",
        {metric: found.reshape(shape) for metric, found in values.means.items()},
        dict.fromkeys(values.means, dims),
        {"member": np.arange(len(population))} | dict(zip(dims[1:], axes, strict=True)),
        {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics},
        {metric: found.reshape(shape) for metric, found in values.errors.items()},
        sample_size=values.examples,
        cost=Cost(time.perf_counter() - began, forwards=values.evaluations),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=str(values.plan)),
        notes=tuple(notes),
    )
    return Surface(tuple(axes), tuple(directions), reading)


def _examples(name: str, problem: Problem, examples: str | Examples | Streamed) -> Examples | Streamed:
    if not isinstance(examples, str):
        check_type(f"{name} examples", examples, (Examples, Streamed), '"train", "test" or examples such as data.train')
        return examples
    check_choice(f"{name} examples", examples, EXAMPLES)
    if examples == "train":
        return problem.data.train
    if problem.data.test is None:
        msg = f"{problem.data.name!r} has no test examples; write examples='train', or give some."
        raise UsageError(msg)
    return problem.data.test
