import errno
import hashlib
import os
import pickle
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from thalweg.errors import StorageError, UsageError
from thalweg.results import Provenance, Reading
from thalweg.storage import Store, schema


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "results")


def the_object(store: Store, kind: str = "run", key: str = "a") -> Path:
    (sha256,) = store.get(kind, key).objects.values()
    return store.path / "objects" / f"{sha256}.safetensors"


def put(store: Store, key: str = "a", value: float = 1.0) -> None:
    store.put("run", key, {"value": value}, {"state": {"theta": torch.full((4,), value)}})


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
    store.put("reading", "r", reading.to_document())
    assert Reading.from_document(store.get("reading", "r").document).to_json() == reading.to_json()


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


def damaged(store: Store, match: str) -> None:
    """The object is refused by name, and `check` finds the same fault."""
    sha256 = store.get("run", "a").objects["state"]
    with pytest.raises(StorageError, match=match) as caught:
        store.arrays(sha256)
    assert "\n" not in str(caught.value)
    assert len(store.check()) == 1
    assert re.search(match, store.check()[0])
    assert store.check()[0].startswith("The state of the run 'a': ")


def test_an_altered_object(store: Store) -> None:
    put(store)
    path = the_object(store)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    damaged(store, "altered or truncated")


@pytest.mark.parametrize("length", [0, 7, -1])
def test_a_truncated_object(store: Store, length: int) -> None:
    put(store)
    path = the_object(store)
    path.write_bytes(path.read_bytes()[:length])
    damaged(store, "altered or truncated")
    put(store)  # writing the same arrays again heals it
    assert store.check() == []


def test_a_missing_object(store: Store) -> None:
    put(store)
    the_object(store).unlink()
    damaged(store, "misses the object")


def test_a_pickle_as_an_object_is_never_run(store: Store, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    put(store)
    path = the_object(store)
    path.write_bytes(pickle.dumps(Trap()))
    damaged(store, "altered or truncated")
    # Even under its own right hash.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name(f"{sha256}.safetensors"))
    with pytest.raises(StorageError, match="not a complete safetensors file"):
        store.arrays(sha256)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["../thalweg", "abc", "A" * 64, "0" * 63 + "/"])
def test_only_hashes_name_objects(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="not the SHA-256"):
        store.arrays(name)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, number: int, call: str) -> None:
    put(store)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StorageError, match="is full, so nothing was changed; free space") as caught:
            put(store, value=2.0)
        assert "\n" not in str(caught.value)
    assert store.get("run", "a").document == {"value": 1.0}
    assert store.check() == []
    assert len(list((store.path / "objects").iterdir())) == 1
    assert list((store.path / "unfinished").iterdir()) == []


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="is a file, and a store is a directory"):
        Store(tmp_path / "file")
    with pytest.raises(StorageError, match="a file is in the way"):
        Store(tmp_path / "file" / "store")
    assert (tmp_path / "file").read_text() == "mine"


def test_only_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"not a store: it has no thalweg\.db"):
        Store(tmp_path / "typo", create=False)
    assert list(tmp_path.iterdir()) == []
    put(Store(tmp_path / "there"))
    assert ("run", "a") in Store(tmp_path / "there", create=False)


@pytest.mark.parametrize(
    "statements",
    ["CREATE TABLE theirs (x)", "PRAGMA application_id = 7", "CREATE TABLE theirs (x); PRAGMA user_version = 1"],
)
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, statements: str) -> None:
    path = tmp_path / "thalweg.db"
    foreign = sqlite3.connect(path)
    foreign.executescript(statements)
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="SQLite file of another program"):
        Store(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "thalweg.db").write_text("to do: milk\n" * 200)
    with pytest.raises(StorageError, match="damaged, or is not a database"):
        Store(tmp_path)


def test_a_database_cut_short(store: Store) -> None:
    for number in range(50):
        store.put("reading", str(number), {"text": "x" * 500})
    database = store.path / "thalweg.db"
    database.write_bytes(database.read_bytes()[:8192])
    with pytest.raises(StorageError, match="damaged"):
        store.list("reading")


def test_a_busy_store_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.storage.store._PATIENCE", 0.0)
    other = sqlite3.connect(store.path / "thalweg.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="kept busy by another process"):
        put(store)
    other.close()
    assert list((store.path / "unfinished").iterdir()) == []
    put(store)


def test_a_copied_store_without_its_empty_directories(store: Store) -> None:
    store.put("study", "s", {})
    (store.path / "objects").rmdir()
    (store.path / "unfinished").rmdir()
    assert store.collect() == 0
    put(store)
    assert store.check() == []


def test_an_odd_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(Store("what? 100% #1"))
    assert (tmp_path / "what? 100% #1" / "thalweg.db").is_file()


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_objects_without_their_database_are_left_alone(store: Store, lost) -> None:
    put(store)
    kept = the_object(store).read_bytes()
    files = sorted(path.name for path in (store.path / "objects").iterdir())
    lost(store.path / "thalweg.db")
    before = sorted(store.path.iterdir())
    with pytest.raises(StorageError, match=r"objects holds the arrays of a store.*copy the database back"):
        Store(store.path)
    with pytest.raises(StorageError):
        Store(store.path, create=False)
    assert sorted(store.path.iterdir()) == before
    assert (store.path / "objects" / files[0]).read_bytes() == kept


def test_an_empty_database_is_a_store_for_those_who_write_only(tmp_path: Path) -> None:
    (tmp_path / "thalweg.db").touch()
    with pytest.raises(StorageError, match=r"is not a store: its thalweg\.db is empty"):
        Store(tmp_path, create=False)
    put(Store(tmp_path))
    assert ("run", "a") in Store(tmp_path, create=False)


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


def tables(path: Path) -> list[str]:
    database = sqlite3.connect(path / "thalweg.db")
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    found = [row[0] for row in rows]
    database.close()
    return found


def pragma(path: Path, name: str) -> int:
    database = sqlite3.connect(path / "thalweg.db")
    value = database.execute(f"PRAGMA {name}").fetchone()[0]
    database.close()
    return value


def test_the_published_schema_is_the_real_one(store: Store) -> None:
    text = (Path(__file__).parents[2] / "docs" / "store-schema.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    published = [statement.strip() for statement in re.split(r";\n", block) if statement.strip()]
    assert published == tables(store.path)
    (version,) = re.findall(r"## Schema, version (\d+)", text)
    assert int(version) == pragma(store.path, "user_version") == len(schema.MIGRATIONS)
    assert pragma(store.path, "application_id") == 0x54484C57
    assert "0x54484C57" in text


NEXT = ("ALTER TABLE record ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",)


def test_an_older_store_is_brought_up_to_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT, ("CREATE INDEX by_time ON record (created)",)))
    newer = Store(store.path)
    assert pragma(store.path, "user_version") == len(schema.MIGRATIONS)
    assert any("by_time" in sql for sql in tables(store.path))
    assert newer.get("run", "a").document == {"value": 1.0}
    put(newer, "b")
    assert newer.check() == []


def test_a_migration_that_fails_leaves_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    before, version = tables(store.path), len(schema.MIGRATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT, ("ALTER TABLE nowhere ADD COLUMN x",)))
        with pytest.raises(StorageError, match="nowhere"):
            Store(store.path)
    assert (tables(store.path), pragma(store.path, "user_version")) == (before, version)
    assert Store(store.path).get("run", "a").document == {"value": 1.0}


def test_a_newer_store_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT))
        Store(store.path)
    with pytest.raises(StorageError, match=r"schema version 2, and this Thalweg knows versions up to 1.*upgrade"):
        Store(store.path)
