"""What can be drawn, as data: every mark holds numbers and labels and knows no plotting library. NaN is a gap."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np

from thalweg.errors import UsageError, check_type
from thalweg.figures import validation
from thalweg.figures.distributions import Density, Histogram
from thalweg.figures.grids import Contour, HeatMap, SurfacePlot
from thalweg.figures.validation import Numbers


@dataclass(frozen=True, eq=False)
class Line:
    """A curve, with a band from `low` to `high` where given.

    Args:
        x: (points,).
        y: (points,).
        low: lower end of the band: (points,).
        high: upper end of the band: (points,).
        label: its name in the legend; lines of one name look the same in every panel.
        thin: whether it is one of many that stand behind another, such as the single seeds behind their mean: half as
            wide, its points not marked, and grey where it has no label.

    Raises:
        UsageError: entries that are not numbers, not one-dimensional, or of different lengths; one end of the band
            without the other.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Line([0, 1], [2.0, 1.0], low=[1.5, 0.8], high=[2.5, 1.2], label="SGD").y.tolist()
        [2.0, 1.0]
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    low: Numbers | None = None
    high: Numbers | None = None
    label: str = ""
    thin: bool = False

    def __post_init__(self) -> None:
        validation.labelled(self)
        check_type("thin of a Line", self.thin, bool, "True or False")
        validation.vectors(self, "x", "y", "low", "high")
        validation.both_or_neither(self)


@dataclass(frozen=True, eq=False)
class Scatter:
    """Points, with vertical error bars where given.

    Args:
        x: (points,).
        y: (points,).
        label: its name in the legend.
        error: half the length of each point's error bar: (points,).
        size: diameter in points of print.
        color: a value per point, shown by color on the figure's z axis, NaN a gap: (points,).
        hollow: whether points are outlines only, such as of what is shown for comparison; not with `color`.

    Raises:
        UsageError: entries that are not numbers, not one-dimensional, or of different lengths; a size that is not
            above 0, a negative error, or hollow points with a value each by color.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Scatter([1, 2], [3.0, 4.0], error=[0.1, 0.2]).error.tolist()
        [0.1, 0.2]
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""
    error: Numbers | None = None
    size: float = 6.0
    color: Numbers | None = None
    hollow: bool = False

    def __post_init__(self) -> None:
        validation.labelled(self)
        validation.vectors(self, "x", "y", "error", "color")
        if self.hollow and self.color is not None:
            msg = "Points of a Scatter are hollow, or show a value by color; got hollow=True and color."
            raise UsageError(msg)
        check_type("The size of a Scatter", self.size, (int, float, np.number), "a number of points")
        object.__setattr__(self, "size", float(self.size))
        if not 0 < self.size < np.inf or (self.error is not None and (self.error < 0).any()):
            msg = f"A Scatter has a size above 0 and no negative error; got size {self.size:g}, error {self.error}."
            raise UsageError(msg)


@dataclass(frozen=True, eq=False)
class TrajectoryLine:
    """The path of a point over time, with a dot at its end; on a page the dot can be made to move along it.

    Args:
        x: (times,).
        y: (times,).
        label: its name in the legend.

    Raises:
        UsageError: entries that are not numbers, not one-dimensional, or of different lengths.

    Example:
        >>> import thalweg as tw
        >>> len(tw.figures.TrajectoryLine([1.0, 0.5, 0.0], [1.0, 0.2, 0.0], label="momentum").x)
        3
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        validation.labelled(self)
        validation.vectors(self, "x", "y")


@dataclass(frozen=True, eq=False)
class Bars:
    """One bar per category; the bars of several such marks in one panel stand side by side.

    Args:
        labels: the categories: (bars,).
        values: (bars,).
        low: lower ends of the error bars: (bars,).
        high: upper ends of the error bars: (bars,).
        label: the name of the set of bars in the legend.

    Raises:
        UsageError: labels that repeat or are not as many as the values; one end of the error bars without the other.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Bars(["SGD", "Adam"], [120, 80], low=[100, 70], high=[150, 95]).labels
        ('SGD', 'Adam')
    """

    labels: Sequence[str]
    values: Numbers
    _: KW_ONLY
    low: Numbers | None = None
    high: Numbers | None = None
    label: str = ""

    def __post_init__(self) -> None:
        validation.labelled(self)
        object.__setattr__(self, "labels", tuple(str(label) for label in self.labels))
        validation.vectors(self, "values", "low", "high")
        validation.both_or_neither(self)
        if len(set(self.labels)) != len(self.values) or len(self.labels) != len(self.values):
            msg = f"Bars need one different label each, and got {len(self.values)} values for {self.labels}."
            raise UsageError(msg)


@dataclass(frozen=True)
class ReferenceLine:
    """A reference line across the panel.

    Args:
        value: where it crosses the axis.
        direction: "horizontal" at a value of y, or "vertical" at a value of x.
        label: written along it.

    Raises:
        UsageError: a value that is not a finite number, or another direction.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.ReferenceLine(0.1, "horizontal", label="target").value
        0.1
    """

    value: float
    direction: Literal["horizontal", "vertical"] = "horizontal"
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        validation.labelled(self)
        value = validation.numbers(self, "value")
        if self.direction not in {"horizontal", "vertical"} or value.ndim or not np.isfinite(value):
            msg = f"A ReferenceLine is horizontal or vertical at a finite value, not {self.direction} at {self.value}."
            raise UsageError(msg)
        object.__setattr__(self, "value", float(value))


Mark = Line | Scatter | TrajectoryLine | HeatMap | Contour | SurfacePlot | Histogram | Density | Bars | ReferenceLine
