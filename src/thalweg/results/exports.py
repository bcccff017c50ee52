"""A reading in other forms: a tidy table, and what pandas and xarray make of it."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.results.dimensions import COLUMNS, Fields, coordinate, sizes
from thalweg.results.table import Table

if TYPE_CHECKING:
    import pandas as pd  # pyrefly: ignore
    import xarray as xr  # pyrefly: ignore


def table(fields: Fields) -> Table:
    """See `Reading.table`."""
    lengths = sizes(fields)
    errors, degrees, units = (fields[name] for name in ("standard_errors", "degrees_of_freedom", "units"))
    columns: dict[str, list[Any]] = {name: [] for name in (*lengths, *COLUMNS)}
    for name, array in fields["arrays"].items():
        dims = fields["dims"][name]
        places = dict(zip(dims, np.indices(array.shape).reshape(array.ndim, array.size), strict=True))
        for dim in lengths:
            here = coordinate(fields, dim)[places[dim]].tolist() if dim in places else [None] * array.size
            columns[dim] += here
        columns["quantity"] += [name] * array.size
        columns["value"] += array.ravel().tolist()
        columns["standard_error"] += _spread_out(errors.get(name), array)
        columns["degrees_of_freedom"] += _spread_out(degrees.get(name), array)
        columns["unit"] += [units.get(name, "")] * array.size
    absent = {"standard_error": not errors, "degrees_of_freedom": not degrees, "unit": not any(columns["unit"])}
    return Table({name: _column(values) for name, values in columns.items() if not absent.get(name)})


def to_pandas(fields: Fields) -> "pd.DataFrame":
    """See `Reading.to_pandas`."""
    return _library("pandas", "reading.table(), or reading.table().csv()").DataFrame(table(fields).columns)


def to_xarray(fields: Fields) -> "xr.Dataset":
    """See `Reading.to_xarray`."""
    library = _library("xarray", "reading.arrays, reading.dims and reading.coordinates")
    variables: dict[str, Any] = {}
    units = {name: {"units": unit} for name, unit in fields["units"].items()}
    for name, array in fields["arrays"].items():
        dims = fields["dims"][name]
        variables[name] = (dims, array, units.get(name, {}))
        if name in fields["standard_errors"]:
            variables[f"{name}_standard_error"] = (dims, fields["standard_errors"][name], units.get(name, {}))
        if name in fields["degrees_of_freedom"]:
            degrees = fields["degrees_of_freedom"][name]
            variables[f"{name}_degrees_of_freedom"] = (dims if degrees.ndim else (), degrees, {})
    coordinates = {dim: ((dim,), points, units.get(dim, {})) for dim, points in fields["coordinates"].items()}
    size = {} if fields["sample_size"] is None else {"sample_size": fields["sample_size"]}
    attributes = {"name": fields["name"], "notes": list(fields["notes"]), **size}
    return library.Dataset(data_vars=variables, coords=coordinates, attrs=attributes)


def _library(name: str, instead: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"This needs {name}, which is not installed ({error}); pip install {name}, or use {instead}."
        raise UsageError(msg) from error


def _spread_out(values: NDArray[Any] | None, array: NDArray[Any]) -> list[Any]:
    """One cell for each entry of an array."""
    return [None] * array.size if values is None else np.broadcast_to(values, array.shape).ravel().tolist()


def _column(values: list[Any]) -> NDArray[Any]:
    """Mixed kinds of cells stay Python objects; numpy would turn the numbers among them into text."""
    kinds = {type(value) for value in values}
    return np.array(values) if len(kinds) == 1 else np.array(values, dtype=object)
