"""A reading as JSON, whole; or as a document without its numbers, and those as named arrays for a store's object."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import StorageError
from thalweg.results.cost import Cost
from thalweg.results.provenance import Provenance
from thalweg.storage.encoding import decode_array, decode_number, encode_array, encode_number

Arrays = dict[str, NDArray[Any]]

_HELD = ("arrays", "coordinates", "standard_errors", "degrees_of_freedom")  # fields that hold arrays by name
_DIGEST = "sha256_of_arrays"


def to_document(fields: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a reading as JSON-able values."""
    return _document(fields, lambda _, array: encode_array(array))


def from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `to_document` was given.

    Raises:
        StorageError: the document is not one of a reading.
    """
    return _fields(document, lambda _, value: decode_array(value))


def split(fields: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of numbers under names such as "arrays/loss", and a document that has null in their place.

    Text is in the document, as objects hold numbers only. The digest of the arrays is in it as well, so that equal
    documents mean equal readings.
    """
    arrays: Arrays = {}

    def encode(place: str, array: NDArray[Any]) -> dict[str, Any] | None:
        if array.dtype.kind == "U":
            return encode_array(array)
        arrays[place] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return None

    document = _document(fields, encode)
    return arrays, document | {_DIGEST: _digest(arrays)}


def join(arrays: Mapping[str, NDArray[Any]], document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `split` was given.

    Raises:
        StorageError: the document is not one of a reading, or misses its arrays.
    """
    return _fields(document, lambda place, value: arrays[place] if value is None else decode_array(value))


def _document(fields: Mapping[str, Any], encode: Callable[[str, NDArray[Any]], Any]) -> dict[str, Any]:
    held = {field: {name: encode(f"{field}/{name}", array) for name, array in fields[field].items()} for field in _HELD}
    cost: Cost = fields["cost"]
    return {
        "name": fields["name"],
        "dims": {name: list(dims) for name, dims in fields["dims"].items()},
        **held,
        "units": dict(fields["units"]),
        "sample_size": fields["sample_size"],
        "cost": {**dataclasses.asdict(cost), "seconds": encode_number(cost.seconds)},
        "provenance": fields["provenance"].to_document(),
        "notes": list(fields["notes"]),
    }


def _fields(document: Mapping[str, Any], decode: Callable[[str, Any], NDArray[Any]]) -> dict[str, Any]:
    try:
        held = {
            field: {name: decode(f"{field}/{name}", value) for name, value in document[field].items()}
            for field in _HELD
        }
        cost: dict[str, Any] = {**document["cost"], "seconds": decode_number(document["cost"]["seconds"])}
        return {
            "name": document["name"],
            "dims": {name: tuple(dims) for name, dims in document["dims"].items()},
            **held,
            "units": document["units"],
            "sample_size": document["sample_size"],
            "cost": Cost(**cost),
            "provenance": Provenance.from_document(document["provenance"]),
            "notes": tuple(document["notes"]),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        msg = f"This JSON is not a reading: {error!r}."
        raise StorageError(msg) from error


def _digest(arrays: Arrays) -> str:
    """SHA-256 of names, types, shapes and every bit."""
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(repr((name, array.dtype.str, array.shape)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
