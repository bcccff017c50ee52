"""Marks that show how values are distributed."""

import functools
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.figures import validation
from thalweg.figures.validation import Numbers


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
        """Counts and edges; fewer bins where floats lie too close for as many as were asked for."""
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
