"""Stores that are damaged, full, busy, in odd places, or not stores."""

import errno
import hashlib
import os
import pickle
import re
import sqlite3
from pathlib import Path

import pytest
from storage.records_of_tests import put, the_object

from thalweg.errors import StorageError
from thalweg.storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "results")


def assert_damaged(store: Store, match: str) -> None:
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
    assert_damaged(store, "altered or truncated")


@pytest.mark.parametrize("length", [0, 7, -1])
def test_a_truncated_object(store: Store, length: int) -> None:
    put(store)
    path = the_object(store)
    path.write_bytes(path.read_bytes()[:length])
    assert_damaged(store, "altered or truncated")
    put(store)  # writing the same arrays again heals it
    assert store.check() == []


def test_a_missing_object(store: Store) -> None:
    put(store)
    the_object(store).unlink()
    assert_damaged(store, "misses the object")


def test_a_pickle_as_an_object_is_never_run(store: Store, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    put(store)
    path = the_object(store)
    path.write_bytes(pickle.dumps(Trap()))
    assert_damaged(store, "altered or truncated")
    # Even under its own right hash.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name(f"{sha256}.safetensors"))
    with pytest.raises(StorageError, match="not a complete safetensors file"):
        store.arrays(sha256)
    assert not (tmp_path / "sprung").exists()


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
    monkeypatch.setattr("thalweg.storage.database._PATIENCE", 0.0)
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
