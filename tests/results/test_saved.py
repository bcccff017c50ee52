"""Readings in a store: to the bit, as safetensors, and written once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from thalweg.errors import StorageError
from thalweg.results import Cost, Provenance, Reading
from thalweg.storage import Store

NUMBERS = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.uint16, np.uint64, np.bool_]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def example(**changes: object) -> Reading:
    fields = {
        "arrays": {"v": [[3.0, np.nan], [-0.0, np.inf]], "words": ["p", "q"], "n": 7},
        "dims": {"v": ("lr", "arm"), "words": ("arm",)},
        "coordinates": {"lr": [0.01, 0.1], "arm": ["dense", "ticket"]},
        "units": {"v": "nats"},
        "standard_errors": {"v": [[0.1, 0.2], [0.3, -0.0]], "n": 1.5},
        "degrees_of_freedom": {"v": 3, "n": 2.5},
        "sample_size": 512,
        "cost": Cost(1.5, forwards=10),
        "provenance": Provenance.here([0, 1], plan={"chunk": 4}),
        "notes": ("A note.",),
    }
    return Reading("sharpness", **(fields | changes))


def objects(store: Store) -> list[str]:
    return sorted(file.name for file in (store.path / "objects").iterdir())


@given(
    st.lists(
        st.sampled_from(NUMBERS).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(deadline=None, max_examples=30)
def test_every_bit_comes_back(tmp_path_factory: pytest.TempPathFactory, arrays: list[np.ndarray]) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    given_arrays = {f"a/{i}": array for i, array in enumerate(arrays)}
    dims = {name: tuple(f"{name} {axis}" for axis in range(array.ndim)) for name, array in given_arrays.items()}
    Reading("r", given_arrays, dims).save(store, "r")
    back = Reading.load(store, "r")
    assert list(back.arrays) == list(given_arrays)
    for name, array in given_arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


def test_everything_else_comes_back_too(store: Store) -> None:
    reading = example()
    reading.save(store, "r")
    back = Reading.load(store, "r")
    assert back.to_json() == reading.to_json()
    assert (back.provenance, back.cost) == (reading.provenance, reading.cost)
    assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()


def test_numbers_are_in_one_object_and_words_in_the_document(store: Store) -> None:
    example().save(store, "r")
    record = store.get("reading", "r")
    (sha256,) = record.objects.values()
    held = load_file(store.path / "objects" / f"{sha256}.safetensors")
    assert sorted(held) == [
        "arrays/n", "arrays/v", "coordinates/lr", "degrees_of_freedom/n", "degrees_of_freedom/v", "standard_errors/n",
        "standard_errors/v",
    ]  # fmt: skip
    assert record.document["arrays"]["v"] is None
    assert record.document["arrays"]["words"]["values"] == ["p", "q"]


def test_arrays_in_the_byte_order_of_another_machine_are_the_same_numbers(store: Store) -> None:
    swapped = np.arange(3.0).astype(">f8")
    reading = Reading("r", {"v": swapped}, {"v": ("i",)})
    reading.save(store, "r")
    np.testing.assert_array_equal(Reading.load(store, "r")["v"], [0, 1, 2])
    assert Reading.load(store, "r").is_saved(store, "r")
    assert reading.is_saved(store, "r")


def test_words_alone_need_no_object(store: Store) -> None:
    Reading("r", {"words": ["a", "b"]}, {"words": ("i",)}).save(store, "r")
    assert store.get("reading", "r").objects == {}
    assert Reading.load(store, "r")["words"].tolist() == ["a", "b"]


def test_what_is_there_is_not_written_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    example().save(store, "r")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", lambda *_: pytest.fail("it was written again"))
        example(provenance=Reading.load(store, "r").provenance).save(store, "r")
        Reading.load(store, "r").save(store, "r")


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": {"v": [[3.0, np.nan], [0.0, np.inf]], "words": ["p", "q"], "n": 7}},  # 0.0 for -0.0
        {"arrays": {"v": [[3.0, np.nan], [-0.0, np.inf]], "words": ["p", "r"], "n": 7}},
        {"standard_errors": {"v": np.ones((2, 2)), "n": 1.5}},
        {"degrees_of_freedom": {"v": 4, "n": 2.5}},
        {"sample_size": 511},
        {"notes": ()},
    ],
)
def test_another_reading_takes_its_place(store: Store, change: dict) -> None:
    first = example()
    first.save(store, "r")
    other = example(provenance=first.provenance, **change)
    assert first.is_saved(store, "r")
    assert not other.is_saved(store, "r")
    other.save(store, "r")
    assert Reading.load(store, "r").to_json() == other.to_json()
    assert len(objects(store)) == 1


def test_what_lost_its_object_is_written_again(store: Store) -> None:
    reading = example()
    reading.save(store, "r")
    (store.path / "objects" / objects(store)[0]).unlink()
    assert not reading.is_saved(store, "r")
    reading.save(store, "r")
    assert store.check() == []


def test_what_was_handed_out_does_not_change_what_is_written(store: Store) -> None:
    reading = example()
    arrays, document = reading.arrays_and_document()
    arrays.clear()
    document["name"] = "other"
    reading.save(store, "r")
    assert Reading.load(store, "r").to_json() == reading.to_json()


def test_a_record_that_is_no_reading_is_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="no reading named 'r'"):
        Reading.load(store, "r")
    store.put("reading", "r", {"name": "r"})
    with pytest.raises(StorageError, match="not a reading"):
        Reading.load(store, "r")
    _, document = example().arrays_and_document()
    store.put("reading", "r", document)
    with pytest.raises(StorageError, match="not a reading"):
        Reading.load(store, "r")
