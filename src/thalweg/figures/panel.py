"""One set of axes and the marks on it: what the renderers draw, and nothing of what stands around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from thalweg.errors import UsageError, check_type
from thalweg.figures.distributions import Density, Histogram
from thalweg.figures.marks import (
    Bars,
    Contour,
    HeatMap,
    Line,
    Mark,
    ReferenceLine,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
)


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Args:
        label: what is measured along it.
        unit: in which unit.
        scale: "linear" or "log".
        limits: (low, high), where it begins and ends; chosen from the data when not given.
        names: of the places 0, 1, 2, ... of a linear axis, which are then its ticks.

    Raises:
        UsageError: another scale, limits that are not finite or do not ascend (on a log axis from above 0), or names
            that are no text or on a log axis.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Axis("loss", "nats", scale="log").text
        'loss (nats)'
    """

    label: str = ""
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not all(isinstance(name, str) for name in self.names) or (self.names and self.scale != "linear"):
            msg = f"Names of an axis are texts for the places 0, 1, 2, ... of a linear axis; got {self.names}."
            raise UsageError(msg)
        if self.names and self.limits is None:
            object.__setattr__(self, "limits", (-0.5, len(self.names) - 0.5))
        if self.scale not in {"linear", "log"}:
            msg = f"An axis is linear or log, not {self.scale!r}."
            raise UsageError(msg)
        check_type("The label of an axis", self.label, str, "text")
        check_type("The unit of an axis", self.unit, str, "text")
        if self.limits is not None:
            try:
                low, high = map(float, self.limits)
            except (TypeError, ValueError):
                msg = f"Limits of an axis are two numbers, (low, high); got {self.limits!r}."
                raise UsageError(msg) from None
            object.__setattr__(self, "limits", (low, high))
            if not -np.inf < low < high < np.inf or (self.scale == "log" and low <= 0):
                msg = (
                    f"Limits of a {self.scale} axis are finite and ascend (a log axis from above 0); got {self.limits}."
                )
                raise UsageError(msg)

    @property
    def text(self) -> str:
        """Label and unit as they stand at the axis."""
        return f"{self.label} ({self.unit})" if self.label and self.unit else self.label or self.unit


UNNAMED = Axis()
_PLAIN: dict[type, str] = {  # what a reader who does not see the figure calls a mark
    Line: "line",
    Scatter: "points",
    TrajectoryLine: "trajectory",
    HeatMap: "heat map",
    Contour: "contour lines",
    SurfacePlot: "surface",
    Histogram: "histogram",
    Density: "density",
}


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """Marks on one set of axes: two, and three with a SurfacePlot.

    Args:
        title: one line.
        marks: what is drawn, the first at the bottom.
        x: the horizontal axis.
        y: the vertical axis.
        z: what color and height show.

    Raises:
        UsageError: there are no marks, or marks that cannot share axes.

    Example:
        >>> import thalweg as tw
        >>> panel = tw.figures.Panel("Loss", (tw.figures.Line([0, 1], [2.0, 0.5]),), tw.figures.Axis("step"))
        >>> panel.x.label, len(panel.marks)
        ('step', 1)
    """

    title: str
    marks: Sequence[Mark]
    x: Axis = UNNAMED
    y: Axis = UNNAMED
    z: Axis | None = None

    def __post_init__(self) -> None:
        check_type("The title of a figure", self.title, str, "text")
        object.__setattr__(self, "marks", tuple(self.marks))
        fault = _fault(self)
        if fault:
            msg = f"The figure {self.title!r} cannot be drawn: {fault}."
            raise UsageError(msg)

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(type(mark).__name__ for mark in self.marks))
        return f"Panel({self.title!r}, {len(self.marks)} marks: {kinds})"

    @property
    def description(self) -> str:
        """A sentence made from title, axes and labels."""
        shown = ", ".join(dict.fromkeys(_phrase(mark) for mark in self.marks))
        axes = " against ".join(axis.text for axis in (self.y, self.x) if axis.text)
        return f"{': '.join(text for text in (self.title, axes) if text)} ({shown})."


def is_single(panels: Sequence[Panel], title: str) -> bool:
    """Whether a figure is one panel whose title is the figure's own, so that it is written once."""
    return len(panels) == 1 and panels[0].title == title


def _fault(panel: Panel) -> str:
    """Why the marks cannot share the axes; "" when they can."""
    if not panel.marks:
        return "it has no marks; give at least one, such as Line(x, y)"
    strange = [type(mark).__name__ for mark in panel.marks if not isinstance(mark, Mark)]
    if strange:
        return f"its marks are {', '.join(kind.__name__ for kind in get_args(Mark))}, and not {', '.join(strange)}"
    present = {type(mark) for mark in panel.marks}
    if SurfacePlot in present and present != {SurfacePlot}:
        return "a SurfacePlot cannot share its axes with flat marks; put them into another panel"
    if Bars in present and not present <= {Bars, ReferenceLine}:
        return "Bars stand on categories, so only Bars and ReferenceLines share their axes"
    if any(_off_the_axes(mark, panel) for mark in panel.marks):
        return "a grid has coordinates at or below 0, which a log axis does not reach; leave them out"
    return ""


def _off_the_axes(mark: Mark, panel: Panel) -> bool:
    """Whether a grid has cells where a log axis has no place."""
    if not isinstance(mark, HeatMap | Contour | SurfacePlot):
        return False
    return any(axis.scale == "log" and at.min() <= 0 for axis, at in ((panel.x, mark.x), (panel.y, mark.y)))


def _phrase(mark: Mark) -> str:
    if isinstance(mark, Bars):
        return f"bars {mark.label}: {', '.join(mark.labels)}" if mark.label else f"bars: {', '.join(mark.labels)}"
    if isinstance(mark, ReferenceLine):
        return f"{mark.direction} rule at {mark.value:g}" + (f": {mark.label}" if mark.label else "")
    return f"{_PLAIN[type(mark)]} {mark.label}".strip()
