"""What can be drawn, as data: every mark holds numbers and labels and knows no plotting library.

NaN is a gap. Grids are indexed (y, x), as a matrix is printed: `z[i, j]` is the value at `y[i]`, `x[j]`.
"""

import functools
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError, check_type
from thalweg.figures import validation

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
        validation.labelled(self)
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
    """

    x: Numbers
    y: Numbers
    _: KW_ONLY
    label: str = ""
    error: Numbers | None = None
    size: float = 6.0
    color: Numbers | None = None

    def __post_init__(self) -> None:
        validation.labelled(self)
        validation.vectors(self, "x", "y", "error", "color")
        check_type("The size of a Scatter", self.size, (int, float, np.number), "a number of points")
        object.__setattr__(self, "size", float(self.size))
        if not 0 < self.size < np.inf or (self.error is not None and (self.error < 0).any()):
            msg = f"A Scatter has a size above 0 and no negative error; got size {self.size:g}, error {self.error}."
            raise UsageError(msg)


@dataclass(frozen=True, eq=False)
class TrajectoryLine:
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
        validation.labelled(self)
        validation.vectors(self, "x", "y")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A grid of colored cells.

    Args:
        x: centers of the columns, in order: (columns,).
        y: centers of the rows, in order: (rows,).
        z: (rows, columns).
        label: what is shown, for the reader of the hover text.
    """

    x: Numbers
    y: Numbers
    z: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        validation.labelled(self)
        validation.grid(self, least=1)


@dataclass(frozen=True, eq=False)
class Contour:
    """Level lines of a grid.

    Args:
        x: (columns,), in order.
        y: (rows,), in order.
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
        validation.labelled(self)
        validation.grid(self, least=2)
        if self.levels is not None:
            object.__setattr__(self, "levels", np.unique(validation.numbers(self, "levels")))
            if not np.isfinite(self.levels).all():
                msg = f"levels of a Contour are finite; got {self.levels.tolist()}."
                raise UsageError(msg)


@dataclass(frozen=True, eq=False)
class SurfacePlot:
    """A grid as a landscape in three dimensions; a flat heat map beside it is what can be read off.

    Args:
        x: (columns,), in order.
        y: (rows,), in order.
        z: heights: (rows, columns).
        label: what is shown.
    """

    x: Numbers
    y: Numbers
    z: Numbers
    _: KW_ONLY
    label: str = ""

    def __post_init__(self) -> None:
        validation.labelled(self)
        validation.grid(self, least=2)


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
        validation.labelled(self)
        validation.vectors(self, "values")
        object.__setattr__(self, "bins", validation.bins(self))

    @functools.cached_property
    def _counted(self) -> tuple[Numbers, Numbers]:
        values = self.values[np.isfinite(self.values)]
        heights, edges = self._filled(values)
        heights = heights.astype(np.float64)
        if self.density and heights.any():  # with nothing inside there is no density, and no bar
            heights /= heights.sum() * np.diff(edges)
        return heights, edges.astype(np.float64)

    def _filled(self, values: Numbers) -> tuple[Numbers, Numbers]:
        """Counts and edges; fewer bins where floats lie too close for so many."""
        count = self.bins
        while isinstance(count, int) and count > 1:
            try:
                return np.histogram(values, bins=count)
            except ValueError:
                count //= 2
        return np.histogram(values, bins=count)

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
        validation.labelled(self)
        validation.vectors(self, "x", "y")

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
            msg = "A density needs at least two different finite values; draw a ReferenceLine at the one there is."
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
