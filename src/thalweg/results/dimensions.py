"""The dimensions of a reading: their sizes and coordinates, and what of its fields does not fit together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import unknown_name

Fields = Mapping[str, Any]  # of a Reading, by name

COLUMNS = ("quantity", "value", "standard_error", "degrees_of_freedom", "unit")  # of a reading's table, after its dims


def sizes(fields: Fields) -> dict[str, int]:
    """Length of every dimension, in order of appearance."""
    found: dict[str, int] = {}
    for name, array in fields["arrays"].items():
        for dim, size in zip(fields["dims"][name], array.shape, strict=True):
            found.setdefault(dim, size)
    return found


def size(fields: Fields, dim: str) -> int:
    """Length of a dimension.

    Raises:
        UsageError: there is none of that name.
    """
    known = sizes(fields)
    if dim not in known:
        raise unknown_name("dimension", dim, known)
    return known[dim]


def coordinate(fields: Fields, dim: str) -> NDArray[Any]:
    """The values along a dimension; 0, 1, 2, ... where none were given."""
    return fields["coordinates"][dim] if dim in fields["coordinates"] else np.arange(size(fields, dim))


def faults(fields: Fields) -> list[str]:
    """Every fault as a phrase; [] when all is well."""
    names = ("arrays", "dims", "coordinates", "units", "standard_errors", "degrees_of_freedom")
    arrays, dims, coordinates, units, standard_errors, degrees_of_freedom = (fields[name] for name in names)
    found = [] if arrays else ["it has no array"]
    found += [f"dims of {name!r}, which is no array" for name in dims if name not in arrays]
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        found += _of_dims(name, array, dims[name], lengths)
    for dim, values in coordinates.items():
        if dim not in lengths:
            found.append(f"coordinates of {dim!r}, which is no dimension")
        elif values.shape != (lengths[dim],):
            found.append(f"coordinates of {dim!r} have shape {values.shape} for {lengths[dim]} entries")
    known = {*arrays, *lengths}
    found += [f"a unit of {name!r}, which is neither array nor dimension" for name in units if name not in known]
    for name, errors in standard_errors.items():
        if name not in arrays:
            found.append(f"standard errors of {name!r}, which is no array")
        elif errors.shape != arrays[name].shape:
            found.append(f"standard errors of {name!r} have shape {errors.shape}, not {arrays[name].shape}")
    for name, degrees in degrees_of_freedom.items():
        if name not in standard_errors:
            found.append(f"degrees of freedom of {name!r}, which has no standard errors")
        elif degrees.shape not in {(), standard_errors[name].shape}:
            shape = standard_errors[name].shape
            found.append(f"degrees of freedom of {name!r} have shape {degrees.shape}, and one number or {shape} fits")
        elif degrees.dtype.kind not in "iuf" or not (np.isnan(degrees) | (degrees >= 0)).all():
            found.append(f"degrees of freedom of {name!r} that are not numbers from 0")
    return found + [f"dimension {dim!r} is named as a column of the table" for dim in sorted({*lengths} & {*COLUMNS})]


def _of_dims(name: str, array: NDArray[Any], dims: tuple[str, ...], sizes: dict[str, int]) -> list[str]:
    """Faults between an array and its dimensions, whose sizes are noted."""
    found = []
    if len(dims) != array.ndim:
        found.append(f"{name!r} has shape {array.shape} but dims {dims}")
    if len(set(dims)) != len(dims):
        found.append(f"{name!r} names a dimension twice: {dims}")
    for dim, size in zip(dims, array.shape, strict=False):
        if sizes.setdefault(dim, size) != size:
            found.append(f"dimension {dim!r} has {size} entries in {name!r} and {sizes[dim]} elsewhere")
    return found
