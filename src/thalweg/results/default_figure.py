"""The generic picture of one array of a reading, chosen from its dimensions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.figures.figure import Figure
from thalweg.figures.marks import Bars, Contour, HeatMap, Line, Mark
from thalweg.figures.panel import Axis
from thalweg.results.quantity import Quantity, words
from thalweg.statistics import student_t

_NAMED = 7  # more lines than the palette has colors go unnamed


def overview(quantity: Quantity) -> Figure:
    """See `Reading.figure`."""
    dims = quantity.dims
    if quantity.is_text:
        msg = f"{quantity.name!r} is text and cannot be drawn; its entries are in reading.table()."
        raise UsageError(msg)
    if len(dims) > 2:
        msg = (
            f"{quantity.name!r} has dimensions {dims}; draw two at a time: reading.select({dims[0]!r}, value).figure() "
            f"or reading.mean({dims[0]!r}).figure()."
        )
        raise UsageError(msg)
    quantity = quantity.ordered()
    along = [dim for dim in dims if quantity.is_scale(dim)]
    text = [dim for dim in dims if quantity.is_named(dim)]
    if len(dims) == 2 and (len(along) == 2 or not any(dim in quantity.coordinates for dim in dims)):
        return _grid(quantity)
    if not dims or len(text) == len(dims):
        return _bars(quantity)
    # One line per entry of the other dimension, which is text or, failing that, merely counted.
    counted = [dim for dim in dims if dim not in text]
    return _lines(quantity, next(iter([*along, *(dim for dim in counted if dim != "seed"), *counted])))


def band(
    values: NDArray[np.float64],
    error: NDArray[np.floating] | None,
    degrees: NDArray[np.float64] | float = np.inf,
) -> dict[str, Any]:
    """The ends "low" and "high" of the 95 % interval by Student's t, for a mark; {} without an error.

    Args:
        values: the estimates.
        error: their standard errors, of the same shape.
        degrees: degrees of freedom of the errors; infinite for a normal estimate, plus or minus 1.96 errors.
    """
    if error is None:
        return {}
    reach = student_t.factor(degrees) * error
    return {"low": values - reach, "high": values + reach}


def _caption(quantity: Quantity) -> str:
    return " ".join([*_interval(quantity), *quantity.notes])


def _interval(quantity: Quantity) -> list[str]:
    """What the intervals are, in a sentence; none where nothing has an error."""
    if quantity.error is None:
        return []
    known = quantity.degrees[np.isfinite(quantity.error)]
    if not known.size or np.isinf(known).all():
        return ["Intervals of 95 % are estimates plus or minus 1.96 standard errors."]
    low, high = float(known.min()), float(known.max())
    if low == high:
        plural = "degree" if low == 1 else "degrees"
        reach = float(student_t.factor(low))
        return [
            f"Intervals are 95 % by Student's t with {low:g} {plural} of freedom: estimates plus or minus {reach:.3g} "
            "standard errors."
        ]
    number = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"
    return [f"Intervals are 95 % by Student's t with {number} degrees of freedom."]


def _bars(quantity: Quantity) -> Figure:
    dims = quantity.dims
    labels = tuple(quantity.entries(dims[0])) if dims else (words(quantity.name),)
    groups = quantity.entries(dims[1]) if len(dims) == 2 else [""]
    values, error, degrees = _rows(quantity, (len(labels), len(groups)))
    marks = [
        Bars(
            labels,
            values[:, j],
            label=group,
            **band(values[:, j], None if error is None else error[:, j], degrees[:, j]),
        )
        for j, group in enumerate(groups)
    ]
    x = Axis(words(dims[0])) if dims else Axis()
    return Figure.of(quantity.title, marks, x, quantity.axis, caption=_caption(quantity))


def _lines(quantity: Quantity, main: str) -> Figure:
    x = quantity.coordinate(main)
    other = next((dim for dim in quantity.dims if dim != main), None)
    labels = quantity.entries(other) if other else [""]
    named = len(labels) <= _NAMED
    values, error, degrees = _rows(quantity, (len(labels), len(x)), last=quantity.dims.index(main))
    ends = band(values, error, degrees)
    marks = [
        Line(x, row, label=label if named else "", **{end: at[i] for end, at in ends.items()})
        for i, (label, row) in enumerate(zip(labels, values, strict=True))
    ]
    caption = _caption(quantity) if named else f"{len(labels)} lines, one per {other}. {_caption(quantity)}".strip()
    return Figure.of(quantity.title, marks, quantity.axis_of(main), quantity.axis, caption=caption)


def _rows(
    quantity: Quantity, shape: tuple[int, int], last: int = -1
) -> tuple[NDArray[np.float64], NDArray[np.floating] | None, NDArray[np.float64]]:
    """Values, errors and degrees of freedom as tables of a shape, with dimension `last` along their rows."""

    def table(array: NDArray[Any]) -> NDArray[Any]:
        return (np.moveaxis(array, last, -1) if array.ndim else array).reshape(shape)

    values = table(quantity.values.astype(np.float64))
    return values, None if quantity.error is None else table(quantity.error), table(quantity.degrees)


def _grid(quantity: Quantity) -> Figure:
    down, across = quantity.dims
    x, y, z = quantity.coordinate(across), quantity.coordinate(down), quantity.values.astype(np.float64)
    marks: list[Mark] = [HeatMap(x, y, z, label=words(quantity.name))]
    if min(z.shape) > 2 and quantity.is_scale(across):
        marks.append(Contour(x, y, z, label=words(quantity.name)))
    axes = (quantity.axis_of(across), quantity.axis_of(down))
    return Figure.of(quantity.title, marks, *axes, z=quantity.axis, caption=" ".join(quantity.notes))
