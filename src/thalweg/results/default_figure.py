"""The generic picture of a reading, chosen from the dimensions of one array."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.figures.figure import Figure
from thalweg.figures.marks import Bars, Contour, HeatMap, Line, Mark
from thalweg.figures.panel import Axis
from thalweg.results.reading import Reading

_NAMED = 7  # more lines than the palette has colors go unnamed

_Z95 = 1.96


def overview(reading: Reading, array: str) -> Figure:
    """See `Reading.figure`."""
    values = reading[array]
    dims = reading.dims[array]
    if values.dtype.kind not in "biuf":
        msg = f"{array!r} is text and cannot be drawn; its entries are in reading.table()."
        raise UsageError(msg)
    if len(dims) > 2:
        msg = f"{array!r} has dimensions {dims}; draw two at a time: reading.select({dims[0]!r}, value).figure()."
        raise UsageError(msg)
    reading = _ordered(reading)
    values = reading[array].astype(np.float64)
    error = reading.standard_errors.get(array)
    along = [dim for dim in dims if _is_scale(reading, dim)]
    text = [dim for dim in dims if _is_text(reading, dim)]
    measured = Axis(_words(array), reading.units.get(array, ""))
    if len(dims) == 2 and (len(along) == 2 or not any(dim in reading.coordinates for dim in dims)):
        return _grid(reading, array, values, measured)
    if not dims or len(text) == len(dims):
        return _bars(reading, array, values, error, measured)
    # One line per entry of the other dimension, which is text or, failing that, merely counted.
    counted = [dim for dim in dims if dim not in text]
    main = next(iter([*along, *(dim for dim in counted if dim != "seed"), *counted]))
    return _lines(reading, array, values, error, main, measured)


def _ordered(reading: Reading) -> Reading:
    """The same with the coordinates of every dimension of numbers ascending, so that no line runs back and forth."""
    for dim, points in reading.coordinates.items():
        if points.dtype.kind in "iuf":
            reading = _taken(reading, dim, np.argsort(points, kind="stable"))
    return reading


def _taken(reading: Reading, dim: str, order: NDArray[np.intp]) -> Reading:
    """The same with the entries of a dimension in another order."""

    def cut(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        dims = reading.dims
        return {n: a.take(order, dims[n].index(dim)) if dim in dims[n] else a for n, a in arrays.items()}

    return dataclasses.replace(
        reading,
        arrays=cut(reading.arrays),
        standard_errors=cut(reading.standard_errors),
        coordinates={**reading.coordinates, dim: reading.coordinates[dim][order]},
    )


def _is_scale(reading: Reading, dim: str) -> bool:
    """Whether a dimension has different numbers to be drawn along; those of seeds are mere names."""
    if dim == "seed" or dim not in reading.coordinates or reading.coordinates[dim].dtype.kind not in "iuf":
        return False
    points = reading.coordinates[dim]
    return bool(np.isfinite(points).all()) and len(np.unique(points)) == len(points)


def _is_text(reading: Reading, dim: str) -> bool:
    return dim in reading.coordinates and reading.coordinates[dim].dtype.kind in "Ub"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _axis(reading: Reading, dim: str) -> Axis:
    """The axis of a dimension, logarithmic where the coordinates are spaced like that."""
    points = np.sort(reading.coordinate(dim).astype(np.float64))
    scale = "linear"
    if len(points) > 2 and points[0] > 0 and points[-1] >= 30 * points[0]:
        uneven = [np.std(np.diff(spaced)) / np.mean(np.diff(spaced)) for spaced in (points, np.log(points))]
        scale = "log" if uneven[1] < uneven[0] else "linear"
    return Axis(_words(dim), reading.units.get(dim, ""), scale=scale)


def _entries(reading: Reading, dim: str) -> list[str]:
    """The entries of a dimension as legend labels."""
    if dim in reading.coordinates:
        return [
            str(value) if isinstance(value, str) else f"{dim} {value}" for value in reading.coordinate(dim).tolist()
        ]
    return [f"{_words(dim)} {index}" for index in range(len(reading.coordinate(dim)))]


def band(values: NDArray[np.float64], error: NDArray[np.floating] | None) -> dict[str, Any]:
    """The ends "low" and "high" of the 95 % interval of a normal estimate, for a mark; {} without an error."""
    return {} if error is None else {"low": values - _Z95 * error, "high": values + _Z95 * error}


def _caption(reading: Reading, error: NDArray[np.floating] | None) -> str:
    interval = "" if error is None else f"Intervals are estimates plus or minus {_Z95} standard errors."
    return " ".join([interval, *reading.notes]).strip()


def _bars(
    reading: Reading, array: str, values: NDArray[np.float64], error: NDArray[np.floating] | None, measured: Axis
) -> Figure:
    dims = reading.dims[array]
    labels = tuple(_entries(reading, dims[0])) if dims else (_words(array),)
    groups = _entries(reading, dims[1]) if len(dims) == 2 else [""]
    columns = values.reshape(len(labels), len(groups))
    errors = None if error is None else error.reshape(len(labels), len(groups))
    marks = [
        Bars(labels, columns[:, j], label=group, **band(columns[:, j], None if errors is None else errors[:, j]))
        for j, group in enumerate(groups)
    ]
    x = Axis(_words(dims[0])) if dims else Axis()
    return Figure.of(reading.name, tuple(marks), x, measured, caption=_caption(reading, error))


def _lines(
    reading: Reading,
    array: str,
    values: NDArray[np.float64],
    error: NDArray[np.floating] | None,
    main: str,
    measured: Axis,
) -> Figure:
    dims = reading.dims[array]
    x = reading.coordinate(main)
    position = dims.index(main)
    other = next((dim for dim in dims if dim != main), None)
    labels = _entries(reading, other) if other else [""]
    named = len(labels) <= _NAMED
    rows = np.moveaxis(values, position, -1).reshape(len(labels), len(x))
    errors = None if error is None else np.moveaxis(error, position, -1).reshape(len(labels), len(x))
    marks = [
        Line(x, row, label=label if named else "", **band(row, None if errors is None else errors[i]))
        for i, (label, row) in enumerate(zip(labels, rows, strict=True))
    ]
    caption = _caption(reading, error) if named else f"{len(labels)} lines, one per {other}. {_caption(reading, error)}"
    return Figure.of(reading.name, tuple(marks), _axis(reading, main), measured, caption=caption.strip())


def _grid(reading: Reading, array: str, values: NDArray[np.float64], measured: Axis) -> Figure:
    down, across = reading.dims[array]
    x, y = reading.coordinate(across), reading.coordinate(down)
    marks: list[Mark] = [HeatMap(x, y, values, label=_words(array))]
    if min(values.shape) > 2 and _is_scale(reading, across):
        marks.append(Contour(x, y, values, label=_words(array)))
    axes = (_axis(reading, across), _axis(reading, down))
    return Figure.of(reading.name, tuple(marks), *axes, z=measured, caption=_caption(reading, None))
