"""The views one asks for: the loss on a line and on a plane."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Conditions, Sample
from thalweg.guard import guarded
from thalweg.landscape.directions import between
from thalweg.landscape.surface import Surface, surface_on
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic


@guarded
def line(
    problem: Problem,
    population: Population,
    *,
    direction: str | Tensor | None = None,
    to: Population | None = None,
    span: float | tuple[float, float] | None = None,
    resolution: int = 51,
    on: Sample | str | ExampleSet = "train",
    statistics: str | None = None,
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Surface:
    """Loss and metrics along one direction from every member.

        loss(theta + t direction), or with `to` loss((1 - t) theta + t theta'), for t over the span

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> line = tw.landscape.line(problem, problem.initialize([0]), to=problem.initialize([1]), resolution=5)
    >>> line["loss"].shape, line.reading.coordinate("a").tolist()
    ((1, 5), [0.0, 0.25, 0.5, 0.75, 1.0])

    Args:
        problem, population: what is evaluated, and where; they are only read.
        direction: how a random one is normalized (see `directions.random`; None: "filter"), or a tensor (parameters,)
            or of theta's shape, such as an eigenvector.
        to: in place of a direction, where the line ends: the members of another population at coordinate 1.
        span: from -span to span, or from the first to the second; None: 0 to 1 with `to`, else -1 to 1.
        resolution: points.
        statistics: see `plane`; with `to` also "interpolate", a straight line to those of the end. None is "recompute"
            with `to`, where neither end's suit what lies between, else "frozen".
        on, statistics_count, plan, seed, progress: see `plane`.

    Raises:
        UsageError: arguments that cannot be meant; ModelError: see `plane`.

    Cost: resolution evaluations of every member.
    """
    if to is not None:
        check_type("line to", to, Population, "a Population")
        if direction is not None:
            msg = "A line goes along a direction or to a population; leave one of them out."
            raise UsageError(msg)
        problem.check(to)
        direction = between(population, to)
        population = replace(population, mask=None)  # the way may lead out of it
    if statistics is None:
        statistics = "frozen" if to is None else "recompute"
    conditions = Conditions.of(
        "line", problem, on=on, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seed
    )
    if span is None:
        span = 1.0 if to is None else (0.0, 1.0)
    wanted = ["filter" if direction is None else direction]
    axes = [grid("line", span, resolution)]
    return surface_on("line", population, wanted, axes, conditions, seed=seed, to=to, progress=progress)


@guarded
def plane(
    problem: Problem,
    population: Population,
    *,
    directions: str | Sequence[Tensor] = "filter",
    span: float | tuple[float, float] = 1.0,
    resolution: int = 51,
    tolerance: float | None = None,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "frozen",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Surface:
    """Loss and metrics on a square of the plane through every member (Li et al., 2018, arXiv:1712.09913).

        loss(theta + a first + b second), for a and b over the span

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> plane = tw.landscape.plane(problem, problem.initialize(1), resolution=5, on=tw.Sample("train", 200))
    >>> plane["loss"].shape, plane.reading.sample_size
    ((1, 5, 5), 200)

    Args:
        problem, population: what is evaluated, and where; they are only read.
        directions: how two random ones are normalized, "filter", "layer", "member" or "none", or two tensors,
            (parameters,) or of theta's shape each, such as `directions.between(...)`, or the first two eigenvectors
            top.vectors[:, 0] and top.vectors[:, 1] of `spectra.top_eigenvalues`.
        span: from -span to span along both, or from the first to the second; coordinate 1 is one direction long.
        resolution: points along each, odd to have the center among them.
        tolerance: None evaluates every point. A share such as 0.01 evaluates as few as suffice for a loss within that
            share of its range, verified at points held out, and interpolates the others (see `adaptive.fill`); the
            notes say how many and how well, "evaluated" in the reading says which. On all examples, most points are
            seen on an eighth of them, and how that differs from all is interpolated too.
        on: the examples, the same at every point. On some of a set, as by Sample("train", 1_000), values are estimates
            whose standard errors are given (see `evaluation.Points`).
        statistics: of normalization layers: "frozen" are the center's; "recompute" those of `statistics_count`
            training examples, drawn at random, at every point.
        plan: "auto" measures whether points are stacked; "stacked", "looped" or a `Plan` force.
        seed: of random directions, and of the examples drawn for "recompute" and for a tolerance.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: resolution^2 evaluations of every member; with a tolerance of 0.01 mostly the work of 50 to 150. Memory: two
    directions, and 64 points at once.
    """
    check_type("plane directions", directions, (str, Sequence), "how to draw them, or two tensors")
    if not isinstance(directions, str) and len(directions) != 2:
        msg = f"A plane needs two directions, or how to draw them; got {len(directions)}."
        raise UsageError(msg)
    chosen = [directions, directions] if isinstance(directions, str) else list(directions)
    conditions = Conditions.of(
        "plane", problem, on=on, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seed
    )
    axes = 2 * [grid("plane", span, resolution)]
    return surface_on("plane", population, chosen, axes, conditions, seed=seed, tolerance=tolerance, progress=progress)


def grid(name: str, span: float | tuple[float, float], resolution: int) -> NDArray[np.float64]:
    """Points of one axis at equal distances; 0 is exactly 0 where it is among them."""
    check_count(f"{name} resolution", resolution, 2)
    ends = list(span) if isinstance(span, Sequence) and not isinstance(span, str) else [span]
    real = all(isinstance(end, Real) and not isinstance(end, bool) for end in ends)
    low, high = ((-ends[0], ends[0]) if len(ends) == 1 else ends[:2]) if real and ends else (0, 0)  # type: ignore[operator]
    if len(ends) > 2 or not -np.inf < low < high < np.inf:
        msg = f"{name} span must be a number above 0, or two that ascend; got {span!r}."
        raise UsageError(msg)
    points = np.linspace(low, high, resolution)
    points[np.abs(points) < 1e-12 * (high - low)] = 0.0
    return points
