"""Arrays as strict JSON and back, bit for bit: what readings and figures are written with."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import StorageError, UsageError

# JSON has no words for these three, and a bare NaN is what makes a file unreadable to everything but Python.
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DTYPES = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
_DTYPES |= {"float16", "float32", "float64"}


def encode_number(value: float) -> float | str:
    """A float as JSON: itself when finite, else one of the words NaN, Infinity, -Infinity."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def decode_number(value: float | str) -> float:
    """The float `encode_number` was given."""
    return _WORDS[value] if isinstance(value, str) else float(value)


def frozen_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as a read-only array of booleans, integers, floats or text.

    Raises:
        UsageError: another type of entry, complex numbers included.
    """
    array = np.asarray(value).copy()  # what was given may change later
    if array.dtype.kind not in "biufU" or array.dtype == np.longdouble:
        advice = "store its real and imaginary parts" if array.dtype.kind == "c" else "convert it first"
        msg = f"{name} has entries of type {array.dtype}, not numbers, booleans or text; {advice}."
        raise UsageError(msg)
    array.flags.writeable = False
    return array


def encode_array(array: NDArray[Any]) -> dict[str, Any]:
    """An array as a JSON object: dtype, shape and the entries in C order.

    Python writes the shortest decimal that reads back as the same float, so nothing is lost.
    """
    values = array.ravel().tolist()
    if array.dtype.kind == "f":
        values = [encode_number(value) for value in values]
    name = "text" if array.dtype.kind == "U" else array.dtype.name
    return {"dtype": name, "shape": list(array.shape), "values": values}


def decode_array(encoded: Mapping[str, Any]) -> NDArray[Any]:
    """The array `encode_array` was given.

    Raises:
        StorageError: the object is not one of `encode_array`.
    """
    try:
        dtype = _dtype(encoded["dtype"])
        values = encoded["values"]
        if dtype.kind == "f":
            values = [decode_number(value) for value in values]
        return np.array(values, dtype=dtype).reshape(encoded["shape"])
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        msg = f"An array in this JSON cannot be read ({error!r}); it needs dtype, shape and values that fit."
        raise StorageError(msg) from error


def _dtype(name: Any) -> np.dtype[Any]:
    """The type of entries; only those that `encode_array` writes, as one such as U999999999 asks for gigabytes."""
    if name == "text":
        return np.dtype(np.str_)
    if name not in _DTYPES:
        msg = f"{name!r} is no type of entries"
        raise ValueError(msg)
    return np.dtype(name)


def parsed(text: str) -> Any:
    """What strict JSON text says.

    Raises:
        StorageError: it is not strict JSON, or nested or with numbers beyond all measure.
    """
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        msg = f"This text is not JSON: {error}."
        raise StorageError(msg) from error


def _refused(word: str) -> None:
    msg = f"{word} is no JSON number"
    raise ValueError(msg)
