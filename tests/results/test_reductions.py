"""The mean over a dimension; `select` is tested with the reading."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.results import Reading

LOSS = np.array([[[1.0, 2.0, 6.0]] * 2, [[0.0, np.nan, 3.0], [1.0, 1.0, np.inf]]])  # arm, step, seed


def sweep() -> Reading:
    return Reading(
        "sweep",
        arrays={
            "loss": LOSS,
            "diverged": np.array([True, False, False]),
            "place": ["x", "y", "z"],
            "floor": [0.5, 0.25],
        },
        dims={"loss": ("arm", "step", "seed"), "diverged": ("seed",), "place": ("seed",), "floor": ("arm",)},
        coordinates={"arm": ["a", "b"], "step": [0, 10], "seed": [7, 8, 9]},
        units={"loss": "nats", "step": "steps", "seed": "1", "place": "words"},
        standard_errors={"loss": np.ones_like(LOSS), "floor": [0.1, 0.2]},
        degrees_of_freedom={"loss": 5, "floor": [2, 3]},
        notes=("A note.",),
    )


def test_the_mean_has_the_error_of_the_spread() -> None:
    mean = sweep().mean("seed")
    assert mean.dims == {"loss": ("arm", "step"), "diverged": (), "floor": ("arm",)}
    np.testing.assert_allclose(mean["loss"][0], [3.0, 3.0])
    np.testing.assert_allclose(mean.standard_errors["loss"][0], np.sqrt([7 / 3, 7 / 3]))  # variance 7 of 3 values
    assert int(mean.degrees_of_freedom["loss"]) == 2
    assert mean["diverged"] == pytest.approx(1 / 3)
    assert mean.standard_errors["diverged"] == pytest.approx(1 / 3)  # variance 1/3 of 3 values


def test_what_has_not_the_dimension_stays_and_text_along_it_goes() -> None:
    mean = sweep().mean("seed")
    np.testing.assert_array_equal(mean["floor"], [0.5, 0.25])
    np.testing.assert_array_equal(mean.standard_errors["floor"], [0.1, 0.2])
    np.testing.assert_array_equal(mean.degrees_of_freedom["floor"], [2, 3])
    assert "place" not in mean.arrays
    assert sorted(mean.coordinates) == ["arm", "step"]
    assert mean.units == {"loss": "nats", "step": "steps"}
    assert mean.notes == ("A note.", "Means over 3 entries of seed, with errors from the spread over them.")


def test_the_mean_of_something_not_finite_is_no_number() -> None:
    mean = sweep().mean("seed")
    assert np.isnan(mean["loss"][1]).all()
    assert np.isnan(mean.standard_errors["loss"][1]).all()
    assert np.isfinite(mean["loss"][0]).all()


def test_a_single_entry_has_no_error() -> None:
    mean = Reading("r", {"v": [[1.0], [2.0]]}, {"v": ("step", "seed")}).mean("seed")
    np.testing.assert_array_equal(mean["v"], [1, 2])
    assert np.isnan(mean.standard_errors["v"]).all()
    assert mean.degrees_of_freedom["v"] == 0
    assert mean.figure().panels


def test_an_array_of_text_takes_its_own_dimension_with_it() -> None:
    reading = Reading("r", {"v": [1.0, 3.0], "w": [["a"], ["b"]]}, {"v": ("i",), "w": ("i", "j")}, {"j": [5]})
    assert reading.mean("i").coordinates == {}


@pytest.mark.parametrize(
    ("arrays", "dim", "fault"),
    [
        ({"v": [1.0]}, "sed", "Did you mean 'seed'"),
        ({"v": ["a"]}, "seed", "only text lies along it"),
        ({"v": np.ones(0)}, "seed", "it has no entries"),
    ],
)
def test_a_mean_there_is_not(arrays: dict, dim: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Reading("r", arrays, {"v": ("seed",)}).mean(dim)


def test_select_keeps_degrees_of_freedom() -> None:
    reading = sweep().select("arm", "b")
    assert reading.degrees_of_freedom["floor"] == 3
    assert reading.degrees_of_freedom["loss"] == 5
