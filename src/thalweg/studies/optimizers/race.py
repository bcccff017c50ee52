"""A race of the rules on functions of two variables, each at the rate that serves it best there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.figures import Axis, Contour, Figure, Scatter, TrajectoryLine
from thalweg.figures.marks import Mark
from thalweg.optim import SGD, Adam, Momentum, Nesterov, RMSprop, Rule, StepHyperparameters, Updater

RULES: dict[str, type[Rule]] = {
    "SGD": SGD,
    "momentum": Momentum,
    "Nesterov": Nesterov,
    "RMSprop": RMSprop,
    "Adam": Adam,
}
RATES = np.logspace(-5, 0, 41)  # eighths of a decade
STEPS = 200
NEAR = 0.01  # of the height at the start
_GRID = 81  # values of the function a side, for its contours


@dataclass(frozen=True)
class Course:
    """A function of two variables (members, 2) to (members,), where to start, its least points, and what is shown."""

    function: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    least: tuple[tuple[float, float], ...]
    x: tuple[float, float]
    y: tuple[float, float]


COURSES: dict[str, Course] = {
    "ravine": Course(
        lambda t: (t[:, 0] ** 2 + 50 * t[:, 1] ** 2) / 2, (-4.0, 1.0), ((0.0, 0.0),), (-4.5, 2), (-1.4, 1.4)
    ),
    "Rosenbrock": Course(
        lambda t: (1 - t[:, 0]) ** 2 + 100 * (t[:, 1] - t[:, 0] ** 2) ** 2,
        (-1.2, 1.0),
        ((1.0, 1.0),),
        (-2, 2),
        (-1, 2.5),
    ),
    "saddle": Course(
        lambda t: t[:, 0] ** 2 / 2 + (t[:, 1] ** 2 - 1) ** 2 / 4 - 0.25,
        (-2.0, 1e-3),
        ((0.0, 1.0), (0.0, -1.0)),
        (-2.4, 1.2),
        (-1.6, 1.6),
    ),
    "Beale": Course(
        lambda t: sum((c - t[:, 0] + t[:, 0] * t[:, 1] ** k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))),  # type: ignore[misc]
        (1.0, 1.2),
        ((3.0, 0.5),),
        (-0.5, 4.2),
        (-1, 1.6),
    ),
}


def paths(rule: Rule, rates: NDArray[np.float64], steps: int) -> dict[str, NDArray[np.float64]]:
    """Where every rate leads on each course, without noise: (steps + 1, rates, 2); NaN once it is not finite."""
    starts = [torch.tensor([course.start], dtype=torch.float64).repeat(len(rates), 1) for course in COURSES.values()]
    theta = torch.cat(starts)
    column = torch.as_tensor(np.tile(rates, len(COURSES)))[:, None]
    point, updater, places = theta.clone(), Updater(rule, theta), [theta.clone()]
    for step in range(1, steps + 1):
        h = StepHyperparameters(rule.hyper_parameters() | {"lr": column, "schedule": 1.0}, step)
        if rule.looks_ahead:
            updater.look_ahead(h, out=point)
        here = (point if rule.looks_ahead else theta).detach().requires_grad_()
        heights = [
            course.function(rows) for course, rows in zip(COURSES.values(), here.chunk(len(COURSES)), strict=True)
        ]
        updater.step(torch.autograd.grad(torch.cat(heights).sum(), here)[0], h)
        places.append(theta.clone())
    found = torch.stack(places).numpy()
    found = np.where(np.isfinite(found).all(2, keepdims=True), found, np.nan)
    return dict(zip(COURSES, np.split(found, len(COURSES), axis=1), strict=True))


def best(course: Course, places: NDArray[np.float64]) -> int:
    """The rate (an index) soonest below `NEAR` of the start's height for good; if none is, the one ending lowest."""
    heights = above(course, torch.as_tensor(places))
    low = heights <= NEAR * heights[0]
    for_good = np.logical_and.accumulate(low[::-1])[::-1]
    arrived = np.where(for_good.any(0), for_good.argmax(0), len(places))
    last = np.where(np.isfinite(heights[-1]), heights[-1], np.inf)
    return int(np.lexsort((last, arrived))[0])


def above(course: Course, places: Tensor) -> NDArray[np.float64]:
    """The function above its least value: (..., 2) to (...)."""
    floor = course.function(torch.tensor(course.least[:1], dtype=torch.float64))
    return (course.function(places.flatten(0, -2)) - floor).view(places.shape[:-1]).numpy()


def race() -> Figure:
    """All rules on all courses: contours, and where each rule went at its best rate."""
    ran = {label: paths(rule(lr=1.0), RATES, STEPS) for label, rule in RULES.items()}
    panels = []
    for name, course in COURSES.items():
        x, y = np.linspace(*course.x, _GRID), np.linspace(*course.y, _GRID)
        heights = above(course, torch.as_tensor(np.stack(np.meshgrid(x, y), axis=2)))
        top = int(np.ceil(np.log10(heights.max()))) - 1
        marks: list[Mark] = [Contour(x, y, heights, levels=10.0 ** np.arange(top - 3, top + 1))]
        for label, found in ran.items():
            way = found[name][:, best(course, found[name])]
            marks.append(TrajectoryLine(way[:, 0], way[:, 1], label=label))
        least = np.array(course.least)
        marks.append(Scatter(least[:, 0], least[:, 1], label="minimum", size=9))
        axes = Axis("first", limits=course.x), Axis("" if panels else "second", limits=course.y)
        panels.append(Figure.of(name, tuple(marks), *axes, z=Axis(scale="log")))
    return Figure.row(
        panels,
        title="Where the rules go on four functions of two variables",
        caption=f"{STEPS} steps without noise from one start, each rule at the one of {len(RATES)} rates that is "
        f"soonest within {NEAR:.0%} of the start's height for good. Lines of equal height are a decade apart.",
    )
