import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from storage.records_of_tests import put, the_object

from thalweg.errors import StorageError, UsageError
from thalweg.results import Provenance, Reading
from thalweg.storage import Store, records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "results")


def test_what_was_put_comes_back(store: Store) -> None:
    arrays = {
        "state": {"theta": torch.randn(3, 4, dtype=torch.float64), "step": torch.tensor(7), "empty": torch.empty(0, 2)},
        "masks": {"mask": np.array([[True, False]]), "turned": np.arange(6.0).reshape(2, 3).T},
    }
    document = {"lr": [0.1, 1e-300], "text": 'ä "\n', "nested": {"none": None, "yes": True}}
    returned = store.put("run", "a", document, arrays)
    record = Store(store.path).get("run", "a")
    assert record == returned
    assert record.document == document
    assert set(record.objects) == {"state", "masks"}
    for role, tensors in arrays.items():
        back = store.arrays(record.objects[role])
        assert back.keys() == tensors.keys()
        for name, tensor in tensors.items():
            expected = torch.as_tensor(tensor)
            assert back[name].dtype == expected.dtype
            assert torch.equal(back[name], expected)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(lambda n: n != "__metadata__"),
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=25)
def test_every_bit_of_any_arrays_comes_back(tmp_path_factory: pytest.TempPathFactory, arrays: dict) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "bits")
    record = store.put("run", "a", {}, {"x": arrays})
    back = store.arrays(record.objects["x"])
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()} == {
        name: (t.numpy().dtype, tuple(t.shape), t.numpy().tobytes()) for name, t in back.items()
    }


def test_tied_and_sliced_tensors_are_written_as_they_look(store: Store) -> None:
    theta = torch.arange(12.0).reshape(3, 4)
    tied = torch.nn.Parameter(torch.ones(2))
    tensors = {"a": tied, "b": tied, "row": theta[1], "column": theta[:, 2], "all": theta}
    record = store.put("run", "a", {}, {"x": tensors})
    back = store.arrays(record.objects["x"])
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert not back["a"].requires_grad


def test_arrays_of_any_layout_are_written(store: Store) -> None:
    frozen = np.arange(4.0)
    frozen.flags.writeable = False
    arrays = {"frozen": frozen, "foreign": np.arange(3, dtype=">i4"), "scalar": np.array(2.5), "back": frozen[::-1]}
    back = store.arrays(store.put("run", "a", {}, {"x": arrays}).objects["x"])
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name].numpy(), array)
        assert back[name].shape == array.shape


def test_a_reading_goes_in_and_out(store: Store) -> None:
    reading = Reading("r", {"x": np.array([1, np.nan])}, {"x": ("i",)}, provenance=Provenance.here(3))
    reading.save(store, "r")
    assert Reading.load(store, "r").to_json() == reading.to_json()


def test_put_replaces_and_drops_what_was_replaced(store: Store) -> None:
    put(store, value=1.0)
    first = the_object(store)
    put(store, value=2.0)
    assert store.get("run", "a").document == {"value": 2.0}
    assert not first.exists()
    assert len(store.list("run")) == 1
    assert store.collect() == 0


def test_equal_arrays_are_stored_once_and_kept_while_needed(store: Store) -> None:
    put(store, "a")
    put(store, "b")
    assert the_object(store, key="a") == the_object(store, key="b")
    store.delete("run", "a")
    assert torch.equal(store.arrays(store.get("run", "b").objects["state"])["theta"], torch.ones(4))
    store.delete("run", "b")
    assert list((store.path / "objects").iterdir()) == []


def test_a_copy_shares_its_arrays_and_outlives_what_it_was_copied_from(store: Store) -> None:
    put(store, "a", 1.0)
    put(store, "b", 2.0)
    replaced, kept = the_object(store, key="b"), the_object(store, key="a")
    store.copy("run", "a", "b")
    assert not replaced.exists()
    assert [file.name for file in (store.path / "objects").iterdir()] == [kept.name]
    assert store.get("run", "b").document == {"value": 1.0}
    store.delete("run", "a")
    assert torch.equal(store.arrays(store.get("run", "b").objects["state"])["theta"], torch.ones(4))
    assert store.check() == []
    with pytest.raises(StorageError, match="no run named 'a'"):
        store.copy("run", "a", "c")


def test_a_copy_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 1.0)
    put(store, "b", 2.0)

    def failing(database: sqlite3.Connection, *arguments: str) -> None:
        records.duplicate(database, *arguments)
        message = "disk I/O error"
        raise sqlite3.OperationalError(message)

    monkeypatch.setattr("thalweg.storage.store.duplicate", failing)
    with pytest.raises(StorageError, match="disk I/O error"):
        store.copy("run", "a", "b")
    assert store.get("run", "b").document == {"value": 2.0}
    assert torch.equal(store.arrays(store.get("run", "b").objects["state"])["theta"], torch.full((4,), 2.0))


def test_whether_an_object_is_there(store: Store) -> None:
    put(store)
    (sha256,) = store.get("run", "a").objects.values()
    assert store.has_object(sha256)
    the_object(store).unlink()
    assert not store.has_object(sha256)


def test_list_is_newest_first_and_by_kind(store: Store) -> None:
    for key in "abc":
        put(store, key)
    store.put("study", "s", {})
    put(store, "a")
    assert [record.key for record in store.list("run")] == ["a", "c", "b"]
    assert [record.key for record in store.list("study")] == ["s"]
    assert store.list("reading") == []
    assert ("run", "a") in store
    assert ("study", "a") not in store


def test_what_is_not_there_is_named(store: Store) -> None:
    put(store, "digits-adam")
    with pytest.raises(StorageError, match=r"no run named 'digits-adm'\. Did you mean 'digits-adam'"):
        store.get("run", "digits-adm")
    with pytest.raises(StorageError, match="It has 0 of that kind"):
        store.delete("study", "x")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("run", "a", {"loss": float("nan")}), "not strict JSON"),
        (("run", "a", {"loss": np.ones(2)}), "put arrays into `arrays`"),
        (("run", "", {}), "needs a kind and a key"),
        (("run", "a", {}, {"x": {"theta": "text"}}), "'theta' is a str"),
        (("run", "a", {}, {"x": {"theta": np.array(["text"])}}), "'theta' is a ndarray"),
        (("run", "a", {}, {"x": {"theta": torch.ones(2).to_sparse()}}), "'theta' is a Tensor, not a dense"),
    ],
)
def test_what_cannot_be_stored_changes_nothing(store: Store, arguments: tuple, fault: str) -> None:
    put(store)
    with pytest.raises(UsageError, match=fault):
        store.put(*arguments)
    assert store.get("run", "a").document == {"value": 1.0}
    assert store.collect() == 0


@pytest.mark.parametrize("name", ["../thalweg", "abc", "A" * 64, "0" * 63 + "/"])
def test_only_hashes_name_objects(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="not the SHA-256"):
        store.arrays(name)


@pytest.mark.parametrize("document", [{1: "a", "1": "b"}, {"deep": [{None: 1, "null": 2}]}, {True: 1, "true": 2}])
def test_keys_that_are_one_as_text_are_refused(store: Store, document: dict) -> None:
    with pytest.raises(UsageError, match=r"two of its keys are '(1|null|true)' as text"):
        store.put("run", "a", document)
    assert store.list("run") == []


def test_collect_waits_an_hour_for_unfinished_files(store: Store) -> None:
    put(store)
    for name in ("young", "old"):
        (store.path / "unfinished" / name).write_bytes(b"...")
    os.utime(store.path / "unfinished" / "old", (0, 0))
    orphan = store.path / "objects" / f"{'a' * 64}.safetensors"
    orphan.write_bytes(b"...")
    assert store.collect() == 2
    assert [file.name for file in (store.path / "unfinished").iterdir()] == ["young"]
    assert the_object(store).exists()
    assert not orphan.exists()


def test_others_may_read_objects(store: Store) -> None:
    umask = os.umask(0o022)
    try:
        put(store)
    finally:
        os.umask(umask)
    assert the_object(store).stat().st_mode & 0o777 == 0o644


# The schema.


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"weights": np.ones(2)}, r"arrays\['weights'\] must be named arrays such as"),
        ({"weights": None}, r"arrays\['weights'\] must be named arrays such as"),
        ({3: {"a": np.ones(2)}}, "role must be text; got 3"),
        ([1], "arrays must be a mapping or None"),
    ],
)
def test_arrays_without_a_role_or_a_name(store: Store, arrays, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        store.put("reading", "a", {}, arrays)
    assert ("reading", "a") not in store
