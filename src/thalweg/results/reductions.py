"""A reading with one dimension less: at one entry of it, or the mean over it. Each gives the fields that change."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.results.dimensions import Fields, coordinate, size
from thalweg.statistics import standard_error


def select(fields: Fields, dim: str, value: Any) -> dict[str, Any]:
    """See `Reading.select`."""
    points = coordinate(fields, dim)
    found = np.flatnonzero(points == value)
    if len(found) != 1:
        msg = f"Dimension {dim!r} has {len(found)} entries {value!r}; it has {points.tolist()}."
        raise UsageError(msg)

    def cut(held: str) -> dict[str, NDArray[Any]]:
        return _along(fields, held, dim, lambda array, place: array.take(int(found[0]), place))

    changed = (cut("arrays"), cut("standard_errors"), cut("degrees_of_freedom"))
    return _reduced(fields, dim, *changed, f"At {dim} = {value}.")


def mean(fields: Fields, dim: str) -> dict[str, Any]:
    """See `Reading.mean`."""
    count = size(fields, dim)
    along = {name for name, dims in fields["dims"].items() if dim in dims}
    over = {name for name in along if fields["arrays"][name].dtype.kind != "U"}
    if not over or not count:
        msg = f"There is no mean over {dim!r}: {'only text lies along it' if count else 'it has no entries'}."
        raise UsageError(msg)

    def rest(held: str) -> dict[str, NDArray[Any]]:
        return {name: array for name, array in fields[held].items() if name not in along}

    left_out = along - over
    numbers = {**fields, "arrays": {name: a for name, a in fields["arrays"].items() if name not in left_out}}
    arrays = _along(numbers, "arrays", dim, _mean)
    errors = _along(numbers, "arrays", dim, _error)
    errors = rest("standard_errors") | {name: errors[name] for name in over}
    degrees = rest("degrees_of_freedom") | dict.fromkeys(over, count - 1)
    note = f"Means over {count} entries of {dim}, with errors from the spread over them."
    return _reduced(fields, dim, arrays, errors, degrees, note)


def _along(
    fields: Fields, held: str, dim: str, cut: Callable[[NDArray[Any], int], NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Arrays by name, each of which that has the dimension without it."""
    dims: Mapping[str, tuple[str, ...]] = fields["dims"]
    return {
        name: cut(array, dims[name].index(dim)) if array.ndim and dim in dims[name] else array
        for name, array in fields[held].items()
    }


def _mean(array: NDArray[Any], place: int) -> NDArray[np.float64]:
    return _finite(array, place).mean(place)


def _error(array: NDArray[Any], place: int) -> NDArray[np.float64]:
    """The standard error of the mean; NaN of a single value."""
    return standard_error(array.astype(np.float64), axis=place)


def _finite(array: NDArray[Any], place: int) -> NDArray[np.float64]:
    """Values, NaN where one along the dimension is not finite."""
    values = array.astype(np.float64)
    return np.where(np.isfinite(values).all(place, keepdims=True), values, np.nan)


def _reduced(
    fields: Fields, dim: str, arrays: dict[str, Any], errors: dict[str, Any], degrees: dict[str, Any], note: str
) -> dict[str, Any]:
    """The fields with these arrays, which have lost a dimension; coordinates and units that nothing has go too."""
    dims = {name: tuple(d for d in fields["dims"][name] if d != dim) for name in arrays}
    kept = {d for each in dims.values() for d in each}
    return {
        "arrays": arrays,
        "dims": dims,
        "coordinates": {d: values for d, values in fields["coordinates"].items() if d in kept},
        "units": {name: unit for name, unit in fields["units"].items() if name in kept or name in arrays},
        "standard_errors": errors,
        "degrees_of_freedom": degrees,
        "notes": (*fields["notes"], note),
    }
