"""What can be drawn, as data: every mark holds numbers and labels and knows no plotting library.

NaN is a gap. Grids are indexed (y, x), as a matrix is printed: `z[i, j]` is the value at `y[i]`, `x[j]`.
"""

import functools
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError

Numbers = NDArray[Any]  # given as any array of numbers, kept as read-only float64


@dataclass(frozen=True, eq=False)
class Line:
    """A curve, with a band from `low` to `high` where given.

    Args:
        x: (points,).
        y: (points,).
        low: lower end of the band: (points,).
        high: upper end of the band: (points,).
        label: its name in the legend; lines of one name look the same in every panel.
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    low: Numbers | None = None
    high: Numbers | None = None
    label: str = ""

    def __post_init__(self) -> None:
        _vectors(self, "x", "y", "low", "high")
        _both_or_neither(self)


@dataclass(frozen=True, eq=False)
class Scatter:
    """Points, with vertical error bars where given.

    Args:
        x: (points,).
        y: (points,).
        label: its name in the legend.
        error: half the length of each point's error bar: (points,).
        size: diameter in points of print.
        color: a value per point, shown by color on the figure's z axis: (points,).
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""
    error: Numbers | None = None
    size: float = 6.0
    color: Numbers | None = None

    def __post_init__(self) -> None:
        _vectors(self, "x", "y", "error", "color")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The way of a point in time, from one place to the next; where it can move, a dot goes along.

    Args:
        x: (times,).
        y: (times,).
        label: its name in the legend.
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        _vectors(self, "x", "y")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A grid of colored cells.

    Args:
        x: centers of the columns: (columns,).
        y: centers of the rows: (rows,).
        z: (rows, columns).
        label: what is shown, for the reader of the hover text.
    """

    x: Numbers
    y: Numbers
    z: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        _grid(self)


@dataclass(frozen=True, eq=False)
class Contour:
    """Level lines of a grid.

    Args:
        x: (columns,).
        y: (rows,).
        z: (rows, columns).
        label: what is shown.
        levels: the values at which to draw a line: (levels,); round ones are chosen when not given.
    """

    x: Numbers
    y: Numbers
    z: Numbers
    _: KW_ONLY
    label: str = ""
    levels: Numbers | None = None

    def __post_init__(self) -> None:
        _grid(self)
        if self.levels is not None:
            object.__setattr__(self, "levels", np.unique(_numbers(self, "levels")))


@dataclass(frozen=True, eq=False)
class Surface:
    """A grid as a landscape in three dimensions; a flat heat map beside it is what can be read off.

    Args:
        x: (columns,).
        y: (rows,).
        z: heights: (rows, columns).
        label: what is shown.
    """

    x: Numbers
    y: Numbers
    z: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        _grid(self)


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often values fall into bins; values that are not finite are left out.

    Args:
        values: (values,).
        bins: how many equal bins, or their edges: (bins + 1,).
        label: its name in the legend.
        density: divide by number and width of bins, so that the area is 1, as beside a `Density`.
    """

    values: Numbers
    _: KW_ONLY
    bins: int | Numbers = 40
    label: str = ""
    density: bool = False

    def __post_init__(self) -> None:
        _vectors(self, "values")
        if not isinstance(self.bins, int):
            object.__setattr__(self, "bins", _numbers(self, "bins"))

    @functools.cached_property
    def _counted(self) -> tuple[Numbers, Numbers]:
        values = self.values[np.isfinite(self.values)]
        heights, edges = np.histogram(values, bins=self.bins, density=self.density and len(values) > 0)
        return heights.astype(np.float64), edges.astype(np.float64)

    @property
    def heights(self) -> Numbers:
        """Count or density of each bin: (bins,)."""
        return self._counted[0]

    @property
    def edges(self) -> Numbers:
        """Where bins begin and end: (bins + 1,)."""
        return self._counted[1]


@dataclass(frozen=True, eq=False)
class Density:
    """A density as a filled curve.

    Args:
        x: (points,).
        y: the density: (points,).
        label: its name in the legend.
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        _vectors(self, "x", "y")

    @classmethod
    def estimate(cls, values: ArrayLike, *, label: str = "", points: int = 256) -> "Density":
        """The Gaussian kernel estimate of the density of the finite `values`, by Scott's rule.

        Raises:
            UsageError: fewer than two different values.
        """
        from scipy.stats import gaussian_kde

        sample = np.asarray(values, dtype=np.float64).ravel()
        sample = sample[np.isfinite(sample)]
        if len(np.unique(sample)) < 2:
            msg = "A density needs at least two different finite values; draw a Rule at the one there is."
            raise UsageError(msg)
        kernel = gaussian_kde(sample)
        margin = 3 * float(np.sqrt(kernel.covariance[0, 0]))
        x = np.linspace(sample.min() - margin, sample.max() + margin, points)
        return cls(x, kernel(x), label=label)


@dataclass(frozen=True, eq=False)
class Bars:
    """One bar per category; several marks in one figure stand side by side.

    Args:
        labels: the categories: (bars,).
        values: (bars,).
        low: lower ends of the error bars: (bars,).
        high: upper ends of the error bars: (bars,).
        label: the name of the set of bars in the legend.
    """

    labels: Sequence[str]
    values: Numbers
    _: KW_ONLY
    low: Numbers | None = None
    high: Numbers | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(str(label) for label in self.labels))
        _vectors(self, "values", "low", "high")
        _both_or_neither(self)
        if len(set(self.labels)) != len(self.values) or len(self.labels) != len(self.values):
            msg = f"Bars need one different label each, and got {len(self.values)} values for {self.labels}."
            raise UsageError(msg)


@dataclass(frozen=True)
class Rule:
    """A reference line across the panel.

    Args:
        value: where it crosses the axis.
        direction: "horizontal" at a value of y, or "vertical" at a value of x.
        label: written along it.
    """

    value: float
    direction: Literal["horizontal", "vertical"] = "horizontal"
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        if self.direction not in {"horizontal", "vertical"} or not np.isfinite(self.value):
            msg = f"A Rule is horizontal or vertical at a finite value, not {self.direction} at {self.value}."
            raise UsageError(msg)


Mark = Line | Scatter | Trajectory | HeatMap | Contour | Surface | Histogram | Density | Bars | Rule


def _numbers(mark: object, name: str) -> Numbers:
    """A field as read-only float64."""
    try:
        array = np.asarray(getattr(mark, name), dtype=np.float64).view()
    except (TypeError, ValueError) as error:
        msg = f"{name} of a {type(mark).__name__} needs numbers: {error}."
        raise UsageError(msg) from error
    array.flags.writeable = False
    return array


def _vectors(mark: object, *names: str) -> None:
    """Make fields float64 vectors of one length; None stays None."""
    shapes = {}
    for name in names:
        if getattr(mark, name) is not None:
            object.__setattr__(mark, name, _numbers(mark, name))
            shapes[name] = getattr(mark, name).shape
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        msg = f"A {type(mark).__name__} needs one-dimensional entries of one length, and got shapes {shapes}."
        raise UsageError(msg)


def _both_or_neither(mark: Line | Bars) -> None:
    if (mark.low is None) != (mark.high is None):
        msg = f"A {type(mark).__name__} needs both low and high, or neither."
        raise UsageError(msg)


def _grid(mark: HeatMap | Contour | Surface) -> None:
    """Make the fields of a grid float64 and check that they fit."""
    for name in ("x", "y", "z"):
        object.__setattr__(mark, name, _numbers(mark, name))
    if mark.x.ndim != 1 or mark.y.ndim != 1 or mark.z.shape != (len(mark.y), len(mark.x)) or mark.z.size == 0:
        msg = (
            f"A {type(mark).__name__} needs z of shape (len(y), len(x)), not empty, and got z {mark.z.shape}, "
            f"y {mark.y.shape}, x {mark.x.shape}."
        )
        raise UsageError(msg)
