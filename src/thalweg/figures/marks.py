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

    Raises:
        UsageError: entries that are not numbers, not one-dimensional, or of different lengths; a size that is not
            above 0, or a negative error.

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
class HeatMap:
    """A grid of colored cells.

    Args:
        x: centers of the columns, in order: (columns,).
        y: centers of the rows, in order: (rows,).
        z: (rows, columns).
        label: what is shown, for the reader of the hover text.

    Raises:
        UsageError: z has not the shape (rows, columns), or x or y is not finite and in order.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.HeatMap([0, 1, 2], [0, 1], [[1, 2, 3], [4, 5, 6]], label="loss").z.shape
        (2, 3)
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

    Raises:
        UsageError: z has not the shape (rows, columns) or less than two of each, or x or y is not finite and in order.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Contour([0, 1], [0, 1], [[1, 2], [3, 4]], levels=[3, 2, 2]).levels.tolist()
        [2.0, 3.0]
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
    """A grid as a landscape in three dimensions; values are read off a flat heat map beside it.

    Args:
        x: (columns,), in order.
        y: (rows,), in order.
        z: heights: (rows, columns).
        label: what is shown.

    Raises:
        UsageError: z has not the shape (rows, columns) or less than two of each, or x or y is not finite and in order.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.SurfacePlot([0, 1], [0, 1], [[1, 2], [3, 4]]).z.tolist()
        [[1.0, 2.0], [3.0, 4.0]]
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
    """How often values fall into each bin; values that are not finite are left out.

    Args:
        values: (values,).
        bins: how many equal bins, or their edges: (bins + 1,).
        label: its name in the legend.
        density: divide counts by their sum and the width of the bin, so that the area is 1, as a `Density` has it.

    Raises:
        UsageError: values that are not numbers, no bin, or edges that do not ascend.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Histogram([0.1, 0.2, 0.7], bins=[0, 0.5, 1]).heights.tolist()
        [2.0, 1.0]
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

    Raises:
        UsageError: entries that are not numbers, not one-dimensional, or of different lengths.

    Example:
        >>> import thalweg as tw
        >>> tw.figures.Density([0, 1, 2], [0.0, 1.0, 0.0], label="weights").y.tolist()
        [0.0, 1.0, 0.0]
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
        """Estimate a density from values by a Gaussian kernel, whose width Scott's rule gives.

        Args:
            values: of any shape; those that are not finite are left out.
            label: its name in the legend.
            points: at which the density is computed, to three widths beyond the values.

        Raises:
            UsageError: fewer than two different finite values.

        References:
            Scott (1992), Multivariate Density Estimation, doi:10.1002/9780470316849.

        Example:
            >>> import thalweg as tw
            >>> density = tw.figures.Density.estimate([0.0, 1.0, 2.0], points=101)
            >>> round(float(density.x[density.y.argmax()]), 6)
            1.0
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
