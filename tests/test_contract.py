"""The one contract of instruments: what they return has a reading, its arrays by name, and a figure."""

import dataclasses
import importlib
import inspect

import pytest

from thalweg.results import Result

INSTRUMENTS = ("curvature", "landscape", "spectra", "tuning")


def _classes(room: str) -> list[type]:
    module = importlib.import_module(f"thalweg.{room}")
    return [value for value in (getattr(module, name) for name in module.__all__) if inspect.isclass(value)]


@pytest.mark.parametrize("room", INSTRUMENTS)
def test_what_holds_a_reading_is_a_result(room: str) -> None:
    """So that `result["array"]` and `figure()` are written once."""
    data = [kind for kind in _classes(room) if dataclasses.is_dataclass(kind)]
    holding = {kind for kind in data if "reading" in {field.name for field in dataclasses.fields(kind)}}
    assert {kind.__name__ for kind in holding if not issubclass(kind, Result) or "__getitem__" in vars(kind)} == set()
