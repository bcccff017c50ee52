"""What a measurement returns: named arrays with dims and units, their uncertainty, sample and cost."""

import dataclasses
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import StorageError, UsageError, check_type, unknown_name
from thalweg.results.provenance import Provenance
from thalweg.results.table import Table
from thalweg.storage.encoding import decode_array, decode_number, encode_array, encode_number, frozen_array, parsed

if TYPE_CHECKING:
    from thalweg.figures.figure import Figure


def _counted(what: str, count: Any) -> int:
    """A whole number of Python's, whoever it was counted by."""
    try:
        return operator.index(count)
    except TypeError:
        msg = f"{what} must be a whole number; got {count!r}."
        raise UsageError(msg) from None


@dataclass(frozen=True)
class Cost:
    """What a reading took: wall-clock seconds and passes over the model, counted per member and batch."""

    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    hvps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", float(self.seconds))
        for name in ("forwards", "backwards", "hvps"):
            object.__setattr__(self, name, _counted(f"Cost {name}", getattr(self, name)))

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds,
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            self.hvps + other.hvps,
        )


@dataclass(frozen=True, eq=False)
class Reading:
    """Named arrays with everything that is needed to trust them.

    Args:
        name: what was measured.
        arrays: by name, of numbers, booleans or text.
        dims: for every array that is not a scalar, the name of each of its dimensions.
        coordinates: for a dimension, the value at each index; a dimension without is counted from 0.
        units: of arrays and of dimensions, by name.
        standard_errors: by array name, of the array's shape; NaN where unknown.
        sample_size: on how many examples, seeds or probes it was taken (the notes say which).
        cost: what it took.
        provenance: where it was made.
        notes: sentences a reader of the numbers should know.

    Raises:
        UsageError: shapes, dims, coordinates, units or errors that do not fit each other.
    """

    name: str
    arrays: Mapping[str, Any]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coordinates: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    standard_errors: Mapping[str, Any] = field(default_factory=dict)
    sample_size: int | None = None
    cost: Cost = Cost()
    provenance: Provenance = field(default_factory=Provenance)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = _freeze("Array", self.arrays)
        put = object.__setattr__  # the class is frozen for everyone after this
        put(self, "arrays", arrays)
        put(self, "dims", {name: tuple(self.dims.get(name, ())) for name in arrays} | _strangers(self.dims, arrays))
        put(self, "coordinates", _freeze("Coordinate", self.coordinates))
        put(self, "standard_errors", _freeze("Standard error of", self.standard_errors))
        put(self, "units", dict(self.units))
        put(self, "notes", tuple(self.notes))
        if self.sample_size is not None:
            put(self, "sample_size", _counted("Reading sample_size", self.sample_size))
        faults = _faults(self)
        if faults:
            msg = f"Reading {self.name!r} does not fit together: {'; '.join(faults)}."
            raise UsageError(msg)

    def __getitem__(self, array: str) -> NDArray[Any]:
        """One array by name."""
        if array not in self.arrays:
            raise unknown_name("array", array, self.arrays)
        return self.arrays[array]

    def coordinate(self, dim: str) -> NDArray[Any]:
        """The values along a dimension; 0, 1, 2, ... where none were given."""
        if dim in self.coordinates:
            return self.coordinates[dim]
        return np.arange(self._sizes()[dim])

    def select(self, dim: str, value: Any) -> "Reading":
        """The reading at one value of a dimension, which its arrays lose.

        Raises:
            UsageError: no such dimension or value.
        """
        if dim not in self._sizes():
            raise unknown_name("dimension", dim, self._sizes())
        found = np.flatnonzero(self.coordinate(dim) == value)
        if len(found) != 1:
            msg = f"Dimension {dim!r} has {len(found)} entries {value!r}; it has {self.coordinate(dim).tolist()}."
            raise UsageError(msg)
        index = int(found[0])

        def cut(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return {
                name: array.take(index, self.dims[name].index(dim)) if dim in self.dims[name] else array
                for name, array in arrays.items()
            }

        return dataclasses.replace(
            self,
            arrays=cut(self.arrays),
            standard_errors=cut(self.standard_errors),
            dims={name: tuple(d for d in dims if d != dim) for name, dims in self.dims.items()},
            coordinates={d: values for d, values in self.coordinates.items() if d != dim},
            units={name: unit for name, unit in self.units.items() if name != dim},
            notes=(*self.notes, f"At {dim} = {value}."),
        )

    def table(self) -> Table:
        """One row per entry of every array: its place in each dimension, which array, value, error, unit."""
        sizes = self._sizes()
        columns: dict[str, list[Any]] = {dim: [] for dim in sizes}
        columns |= {"quantity": [], "value": [], "standard_error": [], "unit": []}
        for name, array in self.arrays.items():
            places = dict(zip(self.dims[name], np.indices(array.shape).reshape(array.ndim, array.size), strict=True))
            for dim in sizes:
                columns[dim] += self.coordinate(dim)[places[dim]].tolist() if dim in places else [None] * array.size
            errors = self.standard_errors.get(name)
            columns["quantity"] += [name] * array.size
            columns["value"] += array.ravel().tolist()
            columns["standard_error"] += [None] * array.size if errors is None else errors.ravel().tolist()
            columns["unit"] += [self.units.get(name, "")] * array.size
        if not self.standard_errors:
            del columns["standard_error"]
        if not any(columns["unit"]):
            del columns["unit"]
        return Table({name: _column(values) for name, values in columns.items()})

    def figure(self, array: str | None = None) -> "Figure":
        """A generic picture of one array (the first when none is named), chosen by its dimensions.

        No dimension or one of text: bars. One of numbers: a line with a 95 % band where standard errors are
        known, one line per entry of a second dimension that is text, seeds or without coordinates. Two of numbers:
        a heat map with contours.

        Raises:
            UsageError: the array has more than two dimensions, or is text.
        """
        from thalweg.results.default_figure import overview

        return overview(self, next(iter(self.arrays)) if array is None else array)

    def to_document(self) -> dict[str, Any]:
        """The whole reading as JSON-able values (for `Store.put`)."""
        return {
            "name": self.name,
            "arrays": {name: encode_array(array) for name, array in self.arrays.items()},
            "dims": {name: list(dims) for name, dims in self.dims.items()},
            "coordinates": {dim: encode_array(values) for dim, values in self.coordinates.items()},
            "units": dict(self.units),
            "standard_errors": {name: encode_array(array) for name, array in self.standard_errors.items()},
            "sample_size": self.sample_size,
            "cost": {**dataclasses.asdict(self.cost), "seconds": encode_number(self.cost.seconds)},
            "provenance": self.provenance.to_document(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Reading":
        """The reading `to_document` was called on.

        Raises:
            StorageError: the document is not one of a reading.
        """
        try:
            cost: dict[str, Any] = {**document["cost"], "seconds": decode_number(document["cost"]["seconds"])}
            return cls(
                name=document["name"],
                arrays={name: decode_array(array) for name, array in document["arrays"].items()},
                dims={name: tuple(dims) for name, dims in document["dims"].items()},
                coordinates={dim: decode_array(values) for dim, values in document["coordinates"].items()},
                units=document["units"],
                standard_errors={n: decode_array(array) for n, array in document["standard_errors"].items()},
                sample_size=document["sample_size"],
                cost=Cost(**cost),
                provenance=Provenance.from_document(document["provenance"]),
                notes=tuple(document["notes"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            msg = f"This JSON is not a reading: {error!r}."
            raise StorageError(msg) from error

    def to_json(self) -> str:
        """The whole reading as strict JSON text; every number reads back bit for bit."""
        return json.dumps(self.to_document(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Reading":
        """The reading `to_json` was called on.

        Raises:
            StorageError: the text is not JSON, or not of a reading.
        """
        return cls.from_document(parsed(text))

    def _sizes(self) -> dict[str, int]:
        """Length of every dimension, in order of appearance."""
        sizes: dict[str, int] = {}
        for name, array in self.arrays.items():
            for dim, size in zip(self.dims[name], array.shape, strict=True):
                sizes.setdefault(dim, size)
        return sizes


def _freeze(what: str, arrays: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    for name in arrays:
        check_type(f"{what} name", name, str, "text")
    return {name: frozen_array(f"{what} {name!r}", array) for name, array in arrays.items()}


def _strangers(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in known}


def _column(values: list[Any]) -> NDArray[Any]:
    """Mixed kinds of cells stay Python objects; numpy would turn the numbers among them into text."""
    kinds = {type(value) for value in values}
    return np.array(values) if len(kinds) == 1 else np.array(values, dtype=object)


def _faults(reading: Reading) -> list[str]:
    faults = [] if reading.arrays else ["it has no array"]
    faults += [f"dims of {name!r}, which is no array" for name in _strangers(reading.dims, reading.arrays)]
    sizes: dict[str, int] = {}
    for name, array in reading.arrays.items():
        dims = reading.dims[name]
        if len(dims) != array.ndim:
            faults.append(f"{name!r} has shape {array.shape} but dims {dims}")
        if len(set(dims)) != len(dims):
            faults.append(f"{name!r} names a dimension twice: {dims}")
        for dim, size in zip(dims, array.shape, strict=False):
            if sizes.setdefault(dim, size) != size:
                faults.append(f"dimension {dim!r} has {size} entries in {name!r} and {sizes[dim]} elsewhere")
    for dim, values in reading.coordinates.items():
        if dim not in sizes:
            faults.append(f"coordinates of {dim!r}, which is no dimension")
        elif values.shape != (sizes[dim],):
            faults.append(f"coordinates of {dim!r} have shape {values.shape} for {sizes[dim]} entries")
    faults += [
        f"a unit of {name!r}, which is neither array nor dimension"
        for name in _strangers(reading.units, {**reading.arrays, **sizes})
    ]
    for name, errors in reading.standard_errors.items():
        if name not in reading.arrays:
            faults.append(f"standard errors of {name!r}, which is no array")
        elif errors.shape != reading.arrays[name].shape:
            faults.append(f"standard errors of {name!r} have shape {errors.shape}, not {reading.arrays[name].shape}")
    clash = set(sizes) & {"quantity", "value", "standard_error", "unit"}
    return faults + [f"dimension {dim!r} is named as a column of the table" for dim in sorted(clash)]
