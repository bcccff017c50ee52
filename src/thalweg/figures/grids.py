"""Marks that show a grid of values, indexed (y, x) as a matrix is printed: `z[i, j]` is the value at `y[i]`, `x[j]`."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from thalweg.errors import UsageError
from thalweg.figures import validation
from thalweg.figures.validation import Numbers


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
