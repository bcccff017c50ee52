"""The loss on a line or plane around a point, with an error bar at every point."""

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import DataError, UsageError, check_choice, check_type
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, everywhere
from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, SurfacePlot
from thalweg.landscape.adaptive import grid_weights, values_from_few
from thalweg.landscape.directions import NORMALIZATIONS, checked, orthogonal, random
from thalweg.population import Population
from thalweg.population.layout import Vectors
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.results.default_figure import band

_FEW = 8  # points in memory at once where few are evaluated: they come by multiples of 8
_EXPECTED = 64  # points that are evaluated then, roughly
_SAMPLE = 256  # examples at least, or an eighth of all, that the nearby cheaper loss is on


@dataclass(frozen=True, eq=False)
class Surface(Result):
    """Loss and metrics on a grid around every member: what `line` and `plane` return.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> surface = tw.landscape.plane(problem, problem.initialize(1), resolution=3)
    >>> surface["loss"].shape, surface.figure().panels[0].z.text
    ((1, 3, 3), 'loss (nats)')

    Args:
        reading: "loss" and every metric, (member, a) on a line and (member, a, b) on a plane, with standard errors; NaN
            where a point could not be evaluated. a is along the first direction.
        coordinates: of each axis, in units of its direction: (points,) each.
        directions: one a member and axis: (members, parameters) each.
    """

    coordinates: tuple[NDArray[np.float64], ...]
    directions: tuple[Vectors, ...] = field(repr=False)

    def change(self, other: "Surface", metric: str = "loss") -> NDArray[np.float64]:
        """How far two surfaces are apart: (members,).

            max |first - second| / max(range of first, range of second),    range = largest - smallest

        It is NaN where either surface has a point that could not be evaluated.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> lines = [tw.landscape.line(problem, problem.initialize(2), resolution=3, seed=seed) for seed in (0, 1)]
        >>> lines[0].change(lines[0]).tolist(), bool((lines[0].change(lines[1]) > 0).all())
        ([0.0, 0.0], True)

        Args:
            other: of as many members, at as many points.
            metric: which values; both surfaces have it.

        Raises:
            UsageError: no such metric, or surfaces of different shapes.
        """
        first, second = self[metric], other[metric]
        if first.shape != second.shape:
            msg = f"Surfaces that are compared have the same shape, (members, points, ...); got {first.shape} and "
            raise UsageError(msg + f"{second.shape}. Make both with the same members, span and resolution.")
        points = tuple(range(1, first.ndim))
        span = np.maximum(np.ptp(first, axis=points), np.ptp(second, axis=points))
        return np.abs(first - second).max(points) / span

    def figure(self, metric: str = "loss", member: int = 0) -> Figure:
        """A line with its 95 % band, or a map with contours; of one member.

        Raises:
            UsageError: no such metric or member.
        """
        values = self._of(metric, member)
        unit, note = self.reading.units.get(metric, ""), " ".join(self.reading.notes)
        if len(self.coordinates) == 1:
            errors = self.reading.standard_errors.get(metric)
            error = None if errors is None or not errors[member].any() else errors[member]
            ends = band(values, error, self.reading.degrees_of_freedom.get(metric, math.inf))
            line = Line(self.coordinates[0], values, **ends)
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
    population: Population,
    wanted: Sequence[str | Tensor],
    axes: Sequence[NDArray[np.float64]],
    conditions: Conditions,
    *,
    seed: int,
    tolerance: float | None = None,
    to: Population | None = None,
    progress: Watcher | None = automatic,
) -> Surface:
    """Loss and metrics on the grid of these axes, along directions that are given or drawn from the seed."""
    began, problem = time.perf_counter(), conditions.problem
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    check_type(f"{name} seed", seed, int, "a whole number")
    if tolerance is not None:
        check_type(f"{name} tolerance", tolerance, (int, float), "a share of the range such as 0.01")
        if not 0 < tolerance < 1:
            msg = f"{name} tolerance must be between 0 and 1, a share of the range; got {tolerance}."
            raise UsageError(msg)
    if conditions.statistics == "interpolate" and to is None:
        msg = 'statistics="interpolate" needs a line to another population: landscape.line(problem, one, to=other).'
        raise UsageError(msg)
    finite = population.theta.isfinite().all(1)
    directions = checked(population, _drawn(name, population, wanted, seed), finite)
    if not finite.any():
        msg = f"No member of the population is finite, so there is nothing to see on a {name}."
        raise UsageError(msg)
    if len(directions) > 1:
        orthogonal([direction[finite] for direction in directions])  # raises where they do not span a plane
    size = int(np.prod([len(axis) for axis in axes]))
    rows = min(AT_ONCE if tolerance is None else _FEW, size)
    times = math.ceil((size if tolerance is None else _EXPECTED) / rows)
    anchors = [anchor[finite.nonzero().flatten()] for anchor in _anchors(population, directions, to)]
    whole, label = Points(anchors, conditions, rows=rows, times=times), f"loss on a {name}"
    sample = None
    if tolerance is not None:
        count = max(_SAMPLE, whole.whole // 8)
        if conditions.drawn.is_whole and 4 * count <= whole.whole:
            few = Sample(conditions.drawn.whole, count, seed).draw(problem).examples
            cheaper = replace(conditions, drawn=Sample(few).draw(problem))
            with contextlib.suppress(DataError):  # none of the sample counts
                sample = Points(anchors, cheaper, rows=rows, times=times)
    with watched(progress) as told:
        if tolerance is None:
            values = everywhere(whole, grid_weights(axes), label, told)
        else:
            values = values_from_few(whole, sample, axes, tolerance=tolerance, seed=seed, label=label, progress=told)

    def placed(found: NDArray[Any]) -> NDArray[Any]:
        """Of every member, on the grid; NaN of those that are not finite."""
        table = np.full((len(population), size), np.nan)
        table[finite.cpu().numpy()] = found
        return table.reshape(len(population), *(len(axis) for axis in axes))

    dims = ("member", "a", "b")[: 1 + len(axes)]
    reading = Reading(
        f"loss on a {name}",
        {metric: placed(found) for metric, found in values.means.items()}
        | {"evaluated": placed(values.evaluated) == 1},
        dict.fromkeys((*values.means, "evaluated"), dims),
        {"member": np.arange(len(population))} | dict(zip(dims[1:], axes, strict=True)),
        {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics},
        {metric: placed(found) for metric, found in values.standard_errors.items()},
        degrees_of_freedom={}
        if conditions.drawn.is_whole
        else dict.fromkeys(values.standard_errors, len(conditions.drawn) - 1),
        sample_size=len(conditions.drawn),
        cost=Cost(time.perf_counter() - began, forwards=values.evaluations),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=str(whole.plan)),
        notes=(
            conditions.text,
            *_along(wanted, to),
            *values.notes,
            *_left_out(values.means["loss"][values.evaluated]),
            *_members_left_out(finite),
        ),
    )
    return Surface(reading, tuple(axes), tuple(directions))


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


def _anchors(population: Population, directions: Sequence[Tensor], to: Population | None) -> list[Population]:
    """The center and the directions; with `to`, the buffers of the direction are how far those of the end are off."""
    buffers = dict(population.buffers)
    if to is not None:
        floating = [name for name, start in population.running.items() if start.is_floating_point()]
        buffers |= {name: to.buffers[name] - population.buffers[name] for name in floating}
    return [population, *(replace(population, theta=direction, buffers=buffers) for direction in directions)]


def _along(wanted: Sequence[str | Tensor], to: Population | None) -> tuple[str, ...]:
    drawn = [one for one in wanted if isinstance(one, str)]
    if to is not None or not drawn:
        return ()
    return ("Random directions" + ("." if drawn[0] == "none" else f" in units of each {drawn[0]}'s weights."),)


def _left_out(losses: NDArray[np.float64]) -> tuple[str, ...]:
    missing = int(np.isnan(losses).sum())
    return (f"{missing} of {losses.size} points are not finite and left out.",) if missing else ()


def _members_left_out(finite: Tensor) -> tuple[str, ...]:
    missing = (~finite).nonzero().flatten().tolist()
    return (f"Not finite, so not seen: member {', '.join(map(str, missing))}.",) if missing else ()
