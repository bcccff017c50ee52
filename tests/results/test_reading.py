import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from thalweg.errors import StorageError, UsageError
from thalweg.results import Cost, Provenance, Reading


def example() -> Reading:
    return Reading(
        "sharpness",
        arrays={"eigenvalue": np.array([[3.0, np.nan], [1.5, np.inf]]), "trace": 7.25},
        dims={"eigenvalue": ("lr", "arm")},
        coordinates={"lr": [0.01, 0.1], "arm": ["dense", "ticket"]},
        units={"eigenvalue": "1/loss", "lr": "1"},
        standard_errors={"eigenvalue": [[0.1, 0.2], [0.3, -0.0]]},
        sample_size=512,
        cost=Cost(1.5, forwards=10, backwards=4, hvps=30),
        provenance=Provenance.here([0, 1], "cpu", "float64", plan={"chunk": 4}, command="thalweg tour"),
        notes=("BatchNorm was frozen.",),
    )


DTYPES = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint64, np.bool_]


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    )
)
@settings(deadline=None, max_examples=150)
def test_json_gives_back_every_bit(array: np.ndarray) -> None:
    dims = tuple("abc"[: array.ndim])
    text = Reading("r", {"x": array}, {"x": dims}).to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    back = Reading.from_json(text)["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    # NaNs are compared as NaNs: which of its many bit patterns one has, says nothing.
    same = (back == array) | ((back != back) & (array != array))
    assert same.all()
    if array.dtype.kind == "f":
        numbers = array == array
        assert (np.signbit(back) == np.signbit(array))[numbers].all()


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_json_gives_back_text(words: list[str]) -> None:
    reading = Reading("r", {"x": np.arange(len(words))}, {"x": ("word",)}, {"word": np.array(words)})
    assert Reading.from_json(reading.to_json()).coordinate("word").tolist() == words


def test_counts_of_numpy_and_torch_are_counts() -> None:
    cost = Cost(np.float32(0.5), forwards=np.int64(3), backwards=torch.tensor(2))
    reading = Reading("r", {"x": 1.0}, sample_size=np.int32(7), cost=cost)
    assert Reading.from_json(reading.to_json()).to_document() == reading.to_document()
    assert (reading.cost, reading.sample_size) == (Cost(0.5, 3, 2), 7)


def test_names_and_counts_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match="Array name must be text; got 1"):
        Reading("r", {1: 2.0, "1": 3.0})
    with pytest.raises(UsageError, match=r"Cost hvps must be a whole number; got 1\.5"):
        Cost(1.0, hvps=1.5)
    with pytest.raises(UsageError, match="Reading sample_size must be a whole number; got 'all'"):
        Reading("r", {"x": 2.0}, sample_size="all")


@pytest.mark.parametrize("change", [{"dims": {"eigenvalue": ["lr"]}}, {"sample_size": "x"}, {"cost": 3}, {"notes": 1}])
def test_json_that_was_altered_is_refused(change: dict) -> None:
    with pytest.raises(StorageError, match="This JSON is not a reading"):
        Reading.from_document(example().to_document() | change)


def test_json_gives_back_everything_else() -> None:
    reading = example()
    back = Reading.from_json(reading.to_json())
    assert back.to_document() == reading.to_document()
    assert back.provenance == reading.provenance
    assert back.cost == reading.cost
    assert back.dims == {"eigenvalue": ("lr", "arm"), "trace": ()}
    assert math.copysign(1, back.standard_errors["eigenvalue"][1, 1]) == -1


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "x"}', '"text"', "3"])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match=r"not JSON|not a reading"):
        Reading.from_json(text)


def test_an_array_with_values_missing_is_refused() -> None:
    document = example().to_document()
    document["arrays"]["eigenvalue"]["values"].pop()
    with pytest.raises(StorageError, match="dtype, shape and values"):
        Reading.from_document(document)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"arrays": {}}, "no array"),
        ({"dims": {}}, r"shape \(2, 2\) but dims \(\)"),
        ({"dims": {"eigenvalue": ("lr", "lr")}}, "twice"),
        ({"dims": {"eigenvalue": ("lr", "arm"), "other": ()}}, "'other', which is no array"),
        ({"coordinates": {"lr": [1.0, 2.0, 3.0]}}, r"\(3,\) for 2 entries"),
        ({"coordinates": {"step": [1]}}, "'step', which is no dimension"),
        ({"units": {"loss": "nats"}}, "neither array nor dimension"),
        ({"standard_errors": {"trace": [1.0, 2.0]}}, r"\(2,\), not \(\)"),
        ({"standard_errors": {"loss": 1.0}}, "'loss', which is no array"),
        ({"degrees_of_freedom": {"trace": 3}}, "'trace', which has no standard errors"),
        ({"standard_errors": {"trace": 1.0}, "degrees_of_freedom": {"trace": [3]}}, r"shape \(1,\), and one number"),
        ({"standard_errors": {"trace": 1.0}, "degrees_of_freedom": {"trace": -1}}, "not numbers from 0"),
        ({"standard_errors": {"trace": 1.0}, "degrees_of_freedom": {"trace": "3"}}, "not numbers from 0"),
        ({"arrays": {"x": np.ones(2), "y": np.ones(3)}, "dims": {"x": ("i",), "y": ("i",)}}, "3 entries in 'y' and 2"),
        ({"arrays": {"x": np.ones(2)}, "dims": {"x": ("value",)}}, "column of the table"),
        ({"arrays": {"x": np.ones(2, complex)}, "dims": {"x": ("i",)}}, "real and imaginary"),
        ({"arrays": {"x": [object()]}, "dims": {"x": ("i",)}}, "type object"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, fault: str) -> None:
    arguments = {
        "arrays": {"eigenvalue": np.ones((2, 2)), "trace": 7.25},
        "dims": {"eigenvalue": ("lr", "arm")},
    }
    if "arrays" in change:
        arguments = {}
    with pytest.raises(UsageError, match=fault):
        Reading("sharpness", **(arguments | change))


def test_tensors_are_arrays_of_their_own() -> None:
    tensor = torch.arange(3.0)
    reading = Reading("tensor", {"x": tensor}, {"x": ("place",)})
    tensor += 1
    assert reading["x"].tolist() == [0, 1, 2]


def test_arrays_cannot_be_changed() -> None:
    given_array = np.ones(2)
    reading = Reading("r", {"x": given_array}, {"x": ("i",)})
    with pytest.raises(ValueError, match="read-only"):
        reading["x"][0] = 2
    given_array[0] = 3  # the caller's own array stays the caller's
    assert given_array[0] == 3


def test_table_is_tidy() -> None:
    table = example().table()
    assert list(table.columns) == ["lr", "arm", "quantity", "value", "standard_error", "unit"]
    assert table.rows[0] == (0.01, "dense", "eigenvalue", 3.0, 0.1, "1/loss")
    assert table.rows[2] == (0.1, "dense", "eigenvalue", 1.5, 0.3, "1/loss")
    assert table.rows[4] == (None, None, "trace", 7.25, None, "")
    assert len(table) == 5


def test_table_puts_values_at_their_coordinates_whatever_the_order_of_dims() -> None:
    values = np.arange(6).reshape(2, 3)
    reading = Reading("r", {"a": values, "b": values.T}, {"a": ("i", "j"), "b": ("j", "i")})
    rows = {(i, j, quantity): value for i, j, quantity, value in reading.table().rows}
    assert all(rows[i, j, "a"] == rows[i, j, "b"] == values[i, j] for i in range(2) for j in range(3))


def test_select_keeps_the_rest() -> None:
    reading = example().select("arm", "ticket")
    assert reading.dims["eigenvalue"] == ("lr",)
    np.testing.assert_array_equal(reading["eigenvalue"], [np.nan, np.inf])
    np.testing.assert_array_equal(reading.standard_errors["eigenvalue"], [0.2, -0.0])
    assert reading["trace"] == 7.25
    assert reading.notes[-1] == "At arm = ticket."
    with pytest.raises(UsageError, match="0 entries 'tikcet'"):
        example().select("arm", "tikcet")
    with pytest.raises(UsageError, match="Did you mean 'arm'"):
        example().select("amr", 0)


def test_importing_results_loads_no_heavy_library() -> None:
    code = (
        "import sys, thalweg.results; "
        "print([m for m in ('torch', 'plotly', 'matplotlib', 'scipy', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_costs_add_up() -> None:
    assert Cost(1.0, 2, 3, 4) + Cost(0.5, 1, 1, 1) == Cost(1.5, 3, 4, 5)


def test_what_is_done_to_an_array_later_does_not_change_the_reading():
    given = np.zeros(3)
    reading = Reading("r", {"a": given}, {"a": ("i",)})
    given[0] = 9
    assert reading["a"].tolist() == [0, 0, 0]
