"""The one contract of instruments: what they return has a reading, its arrays by name, and a figure."""

import dataclasses
import importlib
import inspect
from typing import Any

import pytest

from thalweg.results import Reading, Result

INSTRUMENTS = (
    "connectivity",
    "curvature",
    "generalization.bounds",
    "generalization.double_descent",
    "generalization.implicit",
    "generalization.simplicity",
    "landscape",
    "ntk",
    "spectra",
    "tickets",
    "tuning",
)


def _public(room: str) -> list[Any]:
    module = importlib.import_module(f"thalweg.{room}")
    return [getattr(module, name) for name in module.__all__]


def _classes_with_a_reading(room: str) -> dict[str, type]:
    """By name; some hold it, others make it when it is asked for."""
    held = {kind: [field.name for field in dataclasses.fields(kind)] for kind in _public(room) if _is_data(kind)}
    return {
        kind.__name__: kind
        for kind in _public(room)
        if inspect.isclass(kind) and (hasattr(kind, "reading") or "reading" in held.get(kind, ()))
    }


def _is_data(value: Any) -> bool:
    return inspect.isclass(value) and dataclasses.is_dataclass(value)


@pytest.mark.parametrize("room", INSTRUMENTS)
def test_what_has_a_reading_has_its_arrays_and_a_figure(room: str) -> None:
    found = _classes_with_a_reading(room)
    assert found
    assert not [name for name, kind in found.items() if not (hasattr(kind, "__getitem__") and hasattr(kind, "figure"))]


@pytest.mark.parametrize("room", INSTRUMENTS)
def test_what_holds_a_reading_is_a_result(room: str) -> None:
    """So that `result["array"]` is written once."""
    holding = {name: kind for name, kind in _classes_with_a_reading(room).items() if not hasattr(kind, "reading")}
    assert not [name for name, kind in holding.items() if not issubclass(kind, Result) or "__getitem__" in vars(kind)]


@pytest.mark.parametrize("room", INSTRUMENTS)
def test_no_instrument_returns_the_reading_alone(room: str) -> None:
    functions = [value for value in _public(room) if inspect.isfunction(value)]
    assert not [one.__name__ for one in functions if inspect.signature(one).return_annotation is Reading]
