"""What of its marks a panel shows, and from where to where: gaps, intervals, limits, ends of the color scale."""

import numpy as np
from numpy.typing import NDArray

from thalweg.figures.marks import Bars, Density, HeatMap, Histogram, Line, Mark, ReferenceLine, Scatter, SurfacePlot
from thalweg.figures.panel import Axis, Panel


def drawable(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """Values as the axis can show them: what is infinite, or not positive on a log axis, is a gap."""
    shown = np.isfinite(values) & ((values > 0) | (axis.scale == "linear"))
    return np.where(shown, values, np.nan)


def points(mark: Scatter, panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the points of a scatter are; one that has no color on the color scale is a gap."""
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    if mark.color is not None:
        x = np.where(np.isnan(drawable(mark.color, panel.z or Axis())), np.nan, x)
    return x, y


def alone(*coordinates: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points of a curve have a gap on both sides, so that no stroke reaches them."""
    there = np.isfinite(coordinates).all(0)
    framed = np.concatenate([[False], there, [False]])
    return there & ~framed[:-2] & ~framed[2:]


def reached(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[int]:
    """The index of the last place of a trajectory that is no gap; none when all are."""
    return np.flatnonzero(np.isfinite(x) & np.isfinite(y))[-1:].tolist()


def along(mark: Mark, name: str) -> list[NDArray[np.float64]]:
    """Everything a mark shows along the axis "x" or "y", ends of intervals included."""
    if isinstance(mark, ReferenceLine):
        return [np.array([mark.value])] if (mark.direction == "horizontal") == (name == "y") else []
    if isinstance(mark, Histogram):
        return [mark.edges if name == "x" else mark.heights]
    if isinstance(mark, Bars):
        values = [mark.values, mark.low, mark.high] if name == "y" else []
    elif isinstance(mark, Line) and name == "y":
        values = [mark.y, mark.low, mark.high]
    elif isinstance(mark, Scatter) and name == "y" and mark.error is not None:
        values = [mark.y, mark.y - mark.error, mark.y + mark.error]
    else:
        values = [getattr(mark, name)]
    return [one for one in values if one is not None]


def extent(panel: Panel, name: str) -> tuple[float, float] | None:
    """The smallest and the largest of what a panel shows along an axis; None when that is nothing."""
    axis = getattr(panel, name)
    return _ends([drawable(values, axis) for mark in panel.marks for values in along(mark, name)])


def floor(panel: Panel) -> float:
    """Down to where areas are filled and bands go that reach below what y shows.

    That is 0, and on a log axis, which has no 0, its lower limit or a decade below the smallest value.
    """
    if panel.y.scale == "linear":
        return 0.0
    ends = panel.y.limits or extent(panel, "y")
    return np.nan if ends is None else ends[0] / (1.0 if panel.y.limits else 10.0)


def limits(panel: Panel) -> tuple[float, float] | None:
    """From where to where y goes: as given; on a log axis with areas down to the `floor`, as the values do."""
    ends = extent(panel, "y")
    filled = [mark for mark in panel.marks if isinstance(mark, Histogram | Density)]
    banded = [mark for mark in panel.marks if isinstance(mark, Line | Bars) and mark.low is not None]
    if panel.y.limits or panel.y.scale == "linear" or ends is None or not (filled or banded):
        return panel.y.limits
    low, high = ends
    margin = high**0.05 / low**0.05 if high > low else 2.0  # beyond 308 powers of ten high / low would be infinite
    return low / (max(margin, 2.0) if filled else margin), high * margin


def band(mark: Line | Bars, panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of a mark's intervals; on a log axis a lower end at or below zero goes down to the `floor`."""
    low, high = np.asarray(mark.low), np.asarray(mark.high)
    if panel.y.scale == "log":
        low = np.where((low <= 0) & (high > 0), np.fmin(floor(panel), high), low)
    return drawable(low, panel.y), drawable(high, panel.y)


def crosses(rule: ReferenceLine, panel: Panel) -> bool:
    """Whether a rule is on the panel: within given limits, and above 0 on a log axis."""
    axis = panel.y if rule.direction == "horizontal" else panel.x
    low, high = axis.limits or (-np.inf, np.inf)
    return low <= rule.value <= high and (rule.value > 0 or axis.scale == "linear")


def valued(mark: Mark) -> NDArray[np.float64] | None:
    """What a mark shows by color; None for one that has the color of its series."""
    if isinstance(mark, HeatMap | SurfacePlot):
        return mark.z
    return mark.color if isinstance(mark, Scatter) else None


def color_ends(panel: Panel) -> tuple[float, float]:
    """From where to where the one color scale of a panel goes."""
    axis = panel.z or Axis()
    shown = [drawable(values, axis) for values in map(valued, panel.marks) if values is not None]
    return axis.limits or _ends(shown) or (1.0, 10.0)


def _ends(shown: list[NDArray[np.float64]]) -> tuple[float, float] | None:
    values = np.concatenate([part.ravel() for part in shown]) if shown else np.array([])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else None
