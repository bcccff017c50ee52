"""Readings in pandas and xarray, with the libraries where they are installed, and without."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.results import Reading

READING = Reading(
    "sweep",
    arrays={"loss": [[1.0, 2.0], [3.0, np.nan]], "best": 1.0},
    dims={"loss": ("arm", "step")},
    coordinates={"arm": ["a", "b"], "step": [0, 10]},
    units={"loss": "nats", "step": "steps"},
    standard_errors={"loss": np.full((2, 2), 0.1), "best": 0.2},
    degrees_of_freedom={"loss": [[1, 2], [3, 4]], "best": 3},
    sample_size=7,
    notes=("A note.",),
)


def test_the_table_has_degrees_of_freedom_where_they_are_known() -> None:
    table = READING.table()
    assert list(table.columns)[-4:] == ["value", "standard_error", "degrees_of_freedom", "unit"]
    assert table.rows[1] == ("a", 10, "loss", 2.0, 0.1, 2, "nats")
    assert table.rows[-1] == (None, None, "best", 1.0, 0.2, 3, "")


@pytest.mark.parametrize(("library", "convert"), [("pandas", "to_pandas"), ("xarray", "to_xarray")])
def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, library: str, convert: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=f"needs {library}, which is not installed.*pip install {library}, or use "):
        getattr(READING, convert)()


def test_pandas_is_given_the_columns_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))
    frame = READING.to_pandas()
    columns = READING.table().columns
    assert list(frame) == list(columns)
    for name, column in columns.items():
        np.testing.assert_array_equal(frame[name], column)


def test_xarray_is_given_dims_coordinates_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", SimpleNamespace(Dataset=lambda **given: given))
    given = READING.to_xarray()
    dims, values, attributes = given["data_vars"]["loss"]
    assert (dims, attributes) == (("arm", "step"), {"units": "nats"})
    np.testing.assert_array_equal(values, READING["loss"])
    assert given["data_vars"]["best"][:2] == ((), READING["best"])
    assert given["data_vars"]["loss_standard_error"][2] == {"units": "nats"}
    assert given["data_vars"]["loss_degrees_of_freedom"][1].tolist() == [[1, 2], [3, 4]]
    assert given["data_vars"]["best_degrees_of_freedom"][0] == ()
    assert given["coords"]["step"][0] == ("step",)
    assert given["coords"]["step"][2] == {"units": "steps"}
    assert given["attrs"] == {"name": "sweep", "notes": ["A note."], "sample_size": 7}


def test_pandas_itself() -> None:
    pytest.importorskip("pandas")
    frame = READING.to_pandas()
    found = frame[(frame["arm"] == "b") & (frame["step"] == 0)]
    assert found["value"].tolist() == [3.0]
    assert found["unit"].tolist() == ["nats"]


def test_xarray_itself() -> None:
    pytest.importorskip("xarray")
    data = READING.to_xarray()
    assert float(data["loss"].sel(arm="b", step=0)) == 3.0
    assert data["loss"].attrs["units"] == "nats"
    assert float(data["best_standard_error"]) == 0.2
