"""What a measurement returns: named arrays with dims and units, their uncertainty, sample and cost."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import StorageError, UsageError, check_type, unknown_name
from thalweg.results import dimensions, documents, exports, reductions
from thalweg.results.cost import Cost, counted
from thalweg.results.provenance import Provenance
from thalweg.results.quantity import Quantity
from thalweg.results.summary import Summarized, several, spanned
from thalweg.results.table import Table
from thalweg.storage.encoding import frozen_array, parsed

if TYPE_CHECKING:
    import pandas as pd  # pyrefly: ignore
    import xarray as xr  # pyrefly: ignore

    from thalweg.figures.figure import Figure
    from thalweg.storage.store import Store

_KIND, _ROLE = "reading", "arrays"  # of its record in a store, and of its object
_FREE = Cost()


@dataclass(frozen=True, eq=False)
class Reading(Summarized):
    """Named arrays with everything that is needed to trust them.

    Args:
        name: what was measured.
        arrays: by name, of numbers, booleans or text.
        dims: for every array that is not a scalar, the name of each of its dimensions.
        coordinates: for a dimension, the value at each index; a dimension without is counted from 0.
        units: of arrays and of dimensions, by name.
        standard_errors: by array name, of the array's shape; NaN where unknown.
        degrees_of_freedom: of the standard errors, by array name: one number, or an array of its shape. An error
            without is one of a normal estimate, which has infinitely many.
        sample_size: on how many examples, seeds or probes it was taken (the notes say which).
        cost: what it took.
        provenance: where it was made.
        notes: sentences a reader of the numbers should know.

    Raises:
        UsageError: shapes, dims, coordinates, units or errors that do not fit each other.

    Example:
        >>> import thalweg as tw
        >>> loss = tw.Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}, {"step": [0, 10]}, {"loss": "nats"})
        >>> loss["loss"].tolist(), loss.coordinate("step").tolist()
        ([2.0, 1.0], [0, 10])
    """

    name: str
    arrays: Mapping[str, Any]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coordinates: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    standard_errors: Mapping[str, Any] = field(default_factory=dict)
    sample_size: int | None = None
    cost: Cost = _FREE
    provenance: Provenance = field(default_factory=Provenance)
    notes: tuple[str, ...] = ()
    degrees_of_freedom: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = _freeze("Array", self.arrays)
        put = object.__setattr__  # the class is frozen for everyone after this
        put(self, "arrays", arrays)
        put(self, "dims", {**dict.fromkeys(arrays, ()), **{name: tuple(dims) for name, dims in self.dims.items()}})
        put(self, "coordinates", _freeze("Coordinate", self.coordinates))
        put(self, "standard_errors", _freeze("Standard error of", self.standard_errors))
        put(self, "degrees_of_freedom", _freeze("Degrees of freedom of", self.degrees_of_freedom))
        put(self, "units", dict(self.units))
        put(self, "notes", tuple(self.notes))
        if self.sample_size is not None:
            put(self, "sample_size", counted("Reading sample_size", self.sample_size))
        found = dimensions.faults(vars(self))
        if found:
            msg = f"Reading {self.name!r} does not fit together: {'; '.join(found)}."
            raise UsageError(msg)

    def __getitem__(self, array: str) -> NDArray[Any]:
        """One array by name."""
        if array not in self.arrays:
            raise unknown_name("array", array, self.arrays)
        return self.arrays[array]

    def coordinate(self, dim: str) -> NDArray[Any]:
        """The values along a dimension; 0, 1, 2, ... where none were given."""
        return dimensions.coordinate(vars(self), dim)

    def quantity(self, array: str | None = None) -> Quantity:
        """One array (the first when none is named) with its coordinates, units and errors, as figures need them.

        Raises:
            UsageError: no such array.
        """
        name = next(iter(self.arrays)) if array is None else array
        values = self[name]
        return Quantity(
            name=name,
            title=self.name,
            values=values,
            dims=self.dims[name],
            coordinates={dim: points for dim, points in self.coordinates.items() if dim in self.dims[name]},
            units=self.units,
            error=self.standard_errors.get(name),
            degrees=np.broadcast_to(np.asarray(self.degrees_of_freedom.get(name, np.inf), np.float64), values.shape),
            notes=self.notes,
        )

    def select(self, dim: str, value: Any) -> "Reading":
        """The reading at one value of a dimension, which its arrays lose.

        Raises:
            UsageError: no such dimension or value.

        Example:
            >>> import thalweg as tw
            >>> loss = tw.Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}, {"step": [0, 10]})
            >>> float(loss.select("step", 10)["loss"])
            1.0
        """
        return dataclasses.replace(self, **reductions.select(vars(self), dim, value))

    def mean(self, dim: str) -> "Reading":
        """The mean over a dimension, such as "seed", with the standard error that the spread over it gives.

        mean_i x_i, error = sqrt(sum_i (x_i - mean)^2 / (n - 1) / n), with n - 1 degrees of freedom. The errors of the
        single values are in that spread already and are dropped. Booleans become the fraction that is true. An array
        of text along the dimension is left out, and one without the dimension stays as it is.

        A value that is not finite (a run that diverged) makes its mean and error NaN: leaving it out would flatter the
        rest. Leave entries out yourself, with `select` or before the reading is made, if that is what you mean. The
        error of a single entry is NaN.

        Raises:
            UsageError: no such dimension, or only text along it.

        Example:
            >>> import thalweg as tw
            >>> loss = tw.Reading("loss", {"loss": [[2.0, 4.0], [1.0, 1.0]]}, {"loss": ("step", "seed")})
            >>> mean = loss.mean("seed")
            >>> mean["loss"].tolist(), mean.standard_errors["loss"].tolist(), int(mean.degrees_of_freedom["loss"])
            ([3.0, 1.0], [1.0, 0.0], 1)
        """
        return dataclasses.replace(self, **reductions.mean(vars(self), dim))

    def facts(self) -> dict[str, str]:
        """The name and the size of the sample."""
        return {"": self.name} | ({} if self.sample_size is None else {"sample": f"{self.sample_size:,}"})

    def line(self) -> dict[str, str]:
        """The name, each array with its dimensions and range, and the size of the sample."""
        arrays = {f"{name}{self._shape(name)}:": spanned(self[name], self.units.get(name, "")) for name in self.arrays}
        return {"": self.name} | several(arrays) | self.facts()

    def details(self) -> Table:
        """Every array: its dimensions, range and largest standard error."""
        names = list(self.arrays)
        errors = [self.standard_errors.get(name) for name in names]
        columns = {
            "array": names,
            "dimensions": [self._shape(name).strip(" ()") for name in names],
            "values": [spanned(self[name], self.units.get(name, "")) for name in names],
            "standard error": ["" if error is None else f"{spanned(error)}" for error in errors],
        }
        return Table({name: cells for name, cells in columns.items() if any(cells)})

    def remarks(self) -> tuple[str, ...]:
        """The notes."""
        return self.notes

    def _shape(self, array: str) -> str:
        sizes = zip(self.dims[array], self[array].shape, strict=True)
        return f" ({', '.join(f'{dim} {size:,}' for dim, size in sizes)})" if self.dims[array] else ""

    def table(self) -> Table:
        """One row per entry of every array: its place in each dimension, which array, value, error, unit.

        Example:
            >>> import thalweg as tw
            >>> tw.Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}, {"step": [0, 10]}).table()
            step  quantity  value
               0  loss          2
              10  loss          1
        """
        return exports.table(vars(self))

    def to_pandas(self) -> "pd.DataFrame":
        """The same as `table`, as a DataFrame of pandas.

        Raises:
            UsageError: pandas is not installed.
        """
        return exports.to_pandas(vars(self))

    def to_xarray(self) -> "xr.Dataset":
        """The arrays, dims and coordinates as a Dataset of xarray, with units as attributes.

        Errors and degrees of freedom are variables of their own, such as "loss_standard_error".

        Raises:
            UsageError: xarray is not installed.
        """
        return exports.to_xarray(vars(self))

    def figure(self, array: str | None = None) -> "Figure":
        """A generic picture of one array (the first when none is named), chosen by its dimensions.

        No dimension or one of text: bars. One of numbers: a line with a 95 % band where standard errors are
        known, one line per entry of a second dimension that is text, seeds or without coordinates. Two of numbers:
        a heat map with contours. Intervals are by Student's t where degrees of freedom are given.

        Raises:
            UsageError: the array has more than two dimensions, or is text.

        Example:
            >>> import thalweg as tw
            >>> loss = tw.Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}, {"step": [0, 10]})
            >>> loss.figure().description
            'loss: loss against step (line).'
        """
        from thalweg.results.default_figure import overview  # waits for SciPy

        return overview(self.quantity(array))

    def to_document(self) -> dict[str, Any]:
        """The whole reading as JSON-able values."""
        return documents.to_document(vars(self))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Reading":
        """The reading `to_document` was called on.

        Raises:
            StorageError: the document is not one of a reading.
        """
        return cls._of(documents.from_document(document))

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

    def arrays_and_document(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What `save` writes: all numbers as named arrays, and the rest as JSON-able values with null in their place.

        Text is in the document, as safetensors hold numbers only.
        """
        arrays, document = self._split
        return dict(arrays), dict(document)

    def save(self, store: "Store", key: str) -> None:
        """Write it into a store under a key: a document, and all its numbers in one object.

        A reading that is there already, to the bit, is not written again.

        Raises:
            StorageError: the store cannot be written; what was there is then as before.
        """
        if not self.is_saved(store, key):
            arrays, document = self._split
            store.put(_KIND, key, document, {_ROLE: arrays} if arrays else None)

    def is_saved(self, store: "Store", key: str) -> bool:
        """Whether a store has just this reading under a key."""
        if (_KIND, key) not in store:
            return False
        record = store.get(_KIND, key)
        return record.document == self._split[1] and all(map(store.has_object, record.objects.values()))

    @classmethod
    def load(cls, store: "Store", key: str) -> "Reading":
        """The reading that was saved in a store under a key, to the bit.

        Raises:
            StorageError: there is none, it is damaged, or the record is not one of a reading.
        """
        record = store.get(_KIND, key)
        tensors = store.arrays(record.objects[_ROLE]) if _ROLE in record.objects else {}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return cls._of(documents.join(arrays, record.document))

    @functools.cached_property
    def _split(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See `arrays_and_document`; the document is as JSON reads it back."""
        arrays, document = documents.split(vars(self))
        return arrays, json.loads(json.dumps(document, allow_nan=False))

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> "Reading":
        """The reading with these fields, which were read from somewhere."""
        try:
            return cls(**fields)
        except (TypeError, ValueError, AttributeError) as error:
            msg = f"This JSON is not a reading: {error!r}."
            raise StorageError(msg) from error


def _freeze(what: str, arrays: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    for name in arrays:
        check_type(f"{what} name", name, str, "text")
    return {name: frozen_array(f"{what} {name!r}", array) for name, array in arrays.items()}
