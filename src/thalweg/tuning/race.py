"""A race of update rules on functions of two variables, each at the rate that serves it best there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.figures import Axis, Contour, Figure, Scatter, TrajectoryLine
from thalweg.figures.marks import Mark
from thalweg.guard import guarded
from thalweg.optim import Rule, follow
from thalweg.results import Reading, Summarized, Table

RATES = np.logspace(-5, 0, 41)  # eighths of a decade
NEAR = 0.01  # of the height at the start
_GRID = 81  # values of the function a side, for its contours


@dataclass(frozen=True)
class Course:
    """A function of two variables to race on.

    >>> import thalweg as tw
    >>> bowl = tw.tuning.Course(lambda t: (t**2).sum(1), start=(1, 1), minima=[(0, 0)], x=(-1, 2), y=(-1, 2))
    >>> bowl.above([[3.0, 4.0], [0.0, 1.0]]).tolist()
    [25.0, 1.0]

    Args:
        function: of points (members, 2), to (members,).
        start: where every rule starts.
        minima: the points of least value.
        x, y: what is shown of the first and of the second variable.
    """

    function: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    minima: list[tuple[float, float]]
    x: tuple[float, float]
    y: tuple[float, float]

    def above(self, points: ArrayLike) -> NDArray[np.float64]:
        """The function above its least value, of points (..., 2): (...)."""
        at = torch.as_tensor(np.asarray(points, dtype=np.float64))
        least = self.function(torch.tensor(self.minima[:1], dtype=torch.float64))
        return (self.function(at.reshape(-1, 2)) - least).view(at.shape[:-1]).numpy()


COURSES: dict[str, Course] = {
    "ravine": Course(
        lambda t: (t[:, 0] ** 2 + 50 * t[:, 1] ** 2) / 2, (-4.0, 1.0), [(0.0, 0.0)], (-4.5, 2), (-1.4, 1.4)
    ),
    "Rosenbrock": Course(
        lambda t: (1 - t[:, 0]) ** 2 + 100 * (t[:, 1] - t[:, 0] ** 2) ** 2,
        (-1.2, 1.0),
        [(1.0, 1.0)],
        (-2, 2),
        (-1, 2.5),
    ),
    "saddle": Course(
        lambda t: t[:, 0] ** 2 / 2 + (t[:, 1] ** 2 - 1) ** 2 / 4 - 0.25,
        (-2.0, 1e-3),
        [(0.0, 1.0), (0.0, -1.0)],
        (-2.4, 1.2),
        (-1.6, 1.6),
    ),
    "Beale": Course(
        lambda t: sum((c - t[:, 0] + t[:, 0] * t[:, 1] ** k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))),  # type: ignore[misc]
        (1.0, 1.2),
        [(3.0, 0.5)],
        (-0.5, 4.2),
        (-1, 1.6),
    ),
}


@dataclass(frozen=True, eq=False)
class Race(Summarized):
    """Where each rule went on each course.

    >>> import thalweg as tw
    >>> found = tw.tuning.race({"SGD": tw.optim.SGD(1.0)}, rates=[0.001, 0.01], steps=20)
    >>> found.rates["SGD"]["ravine"], len(found.figure().panels)
    (0.01, 4)

    Args:
        courses: by name.
        paths: by rule and course, at the rate best there: (steps + 1, 2); NaN once it is not finite.
        rates: by rule and course, the best rate.
        contours: by course, the first variable (columns,), the second (rows,), and the heights (rows, columns).
    """

    courses: Mapping[str, Course]
    paths: Mapping[str, Mapping[str, NDArray[np.float64]]]
    rates: Mapping[str, Mapping[str, float]]
    contours: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]

    def facts(self) -> dict[str, str]:
        """Rules, courses and steps."""
        steps = len(next(iter(next(iter(self.paths.values())).values()))) - 1
        return {"rules": ", ".join(self.paths), "courses": ", ".join(self.courses), "steps": f"{steps:,}"}

    def details(self) -> Table:
        """The best rate of every rule on every course."""
        rates = {course: [each[course] for each in self.rates.values()] for course in self.courses}
        return Table({"rule": list(self.rates), **rates})

    @property
    def reading(self) -> Reading:
        """Arrays "path" (rule, course, step, variable) and "best rate" (rule, course)."""
        return Reading(
            "race on functions of two variables",
            {
                "path": np.array([list(each.values()) for each in self.paths.values()]),
                "best rate": np.array([list(each.values()) for each in self.rates.values()]),
            },
            {"path": ("rule", "course", "step", "variable"), "best rate": ("rule", "course")},
            {"rule": list(self.paths), "course": list(self.courses), "variable": ["first", "second"]},
        )

    def __getitem__(self, array: str) -> NDArray[np.float64]:
        return self.reading[array]

    def figure(self) -> Figure:
        """Lines of equal height of every course, and the ways of the rules."""
        panels = []
        for name, course in self.courses.items():
            x, y, heights = self.contours[name]
            top = int(np.ceil(np.log10(heights.max()))) - 1
            marks: list[Mark] = [Contour(x, y, heights, levels=10.0 ** np.arange(top - 3, top + 1))]
            marks += [TrajectoryLine(*found[name].T, label=rule) for rule, found in self.paths.items()]
            marks.append(Scatter(*np.array(course.minima).T, label="minimum", size=9))
            axes = Axis("first", limits=course.x), Axis("" if panels else "second", limits=course.y)
            panels.append(Figure.of(name, tuple(marks), *axes, z=Axis(scale="log")))
        steps = len(next(iter(next(iter(self.paths.values())).values()))) - 1
        return Figure.row(
            panels,
            title="Where the rules go on functions of two variables",
            caption=f"{steps} steps without noise from one start, each rule at the rate, of those tried, that is "
            f"soonest within {NEAR:.0%} of the start's height for good. Lines of equal height are a decade apart.",
        )


@guarded
def race(
    rules: Mapping[str, Rule], *, courses: Mapping[str, Course] = COURSES, rates: ArrayLike = RATES, steps: int = 200
) -> Race:
    """Let rules go, without noise, where functions of two variables lead them, each at its best rate on each.

    The best rate is the one soonest below a hundredth of the start's height for good; if none is, the one that ends
    lowest.

    >>> import thalweg as tw
    >>> found = tw.tuning.race({"SGD": tw.optim.SGD(1.0), "Adam": tw.optim.Adam(1.0)}, rates=[0.01, 0.1], steps=20)
    >>> found.rates["Adam"]["ravine"], found["path"].shape
    (0.1, (2, 4, 21, 2))

    Args:
        rules: by name, with any rate; each of those tried takes its place.
        courses: by name; by default a ravine, Rosenbrock's and Beale's functions, and a saddle.
        rates: those tried: (rates,).
        steps: of every run.

    Raises:
        UsageError: no rule, no course or no rate.

    Cost: rules x steps gradients of all courses and rates at once: a second for five rules.
    """
    tried = np.asarray(rates, dtype=np.float64)
    if not rules or not courses or tried.ndim != 1 or not len(tried):
        msg = f"race needs rules, courses and rates (rates,); got {len(rules)}, {len(courses)} and {tried.shape}."
        raise UsageError(msg)
    every = {name: paths(rule, courses, tried, steps) for name, rule in rules.items()}
    picks = {name: {at: best(courses[at], way) for at, way in found.items()} for name, found in every.items()}
    contours = {}
    for name, course in courses.items():
        x, y = np.linspace(*course.x, _GRID), np.linspace(*course.y, _GRID)
        contours[name] = (x, y, course.above(np.stack(np.meshgrid(x, y), axis=2)))
    return Race(
        dict(courses),
        {name: {at: every[name][at][:, pick] for at, pick in found.items()} for name, found in picks.items()},
        {name: {at: float(tried[pick]) for at, pick in found.items()} for name, found in picks.items()},
        contours,
    )


def paths(
    rule: Rule, courses: Mapping[str, Course], rates: NDArray[np.float64], steps: int
) -> dict[str, NDArray[np.float64]]:
    """Where every rate leads on each course: (steps + 1, rates, 2); NaN once it is not finite."""
    starts = [torch.tensor([course.start], dtype=torch.float64).repeat(len(rates), 1) for course in courses.values()]

    def gradient(points: Tensor) -> Tensor:
        here = points.detach().requires_grad_()
        parts = zip(courses.values(), here.chunk(len(courses)), strict=True)
        return torch.autograd.grad(torch.cat([course.function(rows) for course, rows in parts]).sum(), here)[0]

    column = torch.as_tensor(np.tile(rates, len(courses)))[:, None]
    found = follow(rule, gradient, torch.cat(starts), steps, numbers={"lr": column}).numpy()
    found = np.where(np.isfinite(found).all(2, keepdims=True), found, np.nan)
    return dict(zip(courses, np.split(found, len(courses), axis=1), strict=True))


def best(course: Course, places: NDArray[np.float64]) -> int:
    """The rate (an index) soonest below `NEAR` of the start's height for good; if none is, the one ending lowest."""
    heights = course.above(places)
    low = heights <= NEAR * heights[0]
    for_good = np.logical_and.accumulate(low[::-1])[::-1]
    arrived = np.where(for_good.any(0), for_good.argmax(0), len(places))
    last = np.where(np.isfinite(heights[-1]), heights[-1], np.inf)
    return int(np.lexsort((last, arrived))[0])
