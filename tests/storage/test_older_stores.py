"""Stores of an older Thalweg, which may have them open meanwhile: nothing is lost, and reading changes nothing."""

import contextlib
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from storage.records_of_tests import put, the_object

from thalweg.errors import StorageError
from thalweg.storage import Store, schema

Older = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Older:
    """Within it this is a Thalweg of version 1, which knows of no checksums."""

    @contextlib.contextmanager
    def version_1() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
            patch.setattr("thalweg.storage.records.seal", lambda *_: None)
            yield

    return version_1


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path / "thalweg.db")) as database:
        return schema.version_of(database)


def test_what_an_older_process_puts_into_a_newer_store_is_read(tmp_path: Path, older: Older) -> None:
    with older():
        training = Store(tmp_path)
        put(training, "a", 1.0)
    shown = Store(tmp_path)
    with older():
        put(training, "a", 2.0)
        put(training, "b", 3.0)
    put(shown, "c", 4.0)
    with pytest.warns(UserWarning, match="The run 'a' has no checksum: an older Thalweg put it"):
        record = shown.get("run", "a")
    assert record.document == {"value": 2.0}
    assert torch.equal(shown.arrays(record.objects["state"])["theta"], torch.full((4,), 2.0))
    with pytest.warns(UserWarning, match="has no checksum") as told:
        assert [record.key for record in shown.list("run")] == ["c", "b", "a"]
    assert len(told) == 2
    assert [len(part) for part in shown.read("run")] == [3, 0]
    assert ["'b'" in said or "'a'" in said for said in shown.check()] == [True, True]
    assert shown.collect() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown.copy("run", "a", "d")
        assert shown.get("run", "d").document == {"value": 2.0}
        again = Store(tmp_path)
        assert again.check() == []
        assert len(again.list("run")) == 4
    with older():
        assert training.get("run", "c").document == {"value": 4.0}


def test_a_record_without_checksum_or_mark_is_damaged(tmp_path: Path, older: Older) -> None:
    put(Store(tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "thalweg.db")) as database:
        database.execute("DELETE FROM checksum")
        database.commit()
    with pytest.raises(StorageError, match="'a' is damaged"):
        Store(tmp_path).get("run", "a")
    with older():
        old = Store(tmp_path / "other")
        put(old)
    Store(tmp_path / "other")
    with older():
        put(old)
    with contextlib.closing(sqlite3.connect(tmp_path / "other" / "thalweg.db")) as database:
        database.execute("UPDATE record SET document = CAST(x'7bff' AS TEXT)")
        database.commit()
    for create in (False, True):
        with pytest.raises(StorageError, match="'a' is damaged"):
            Store(tmp_path / "other", create=create).get("run", "a")


def test_only_reading_an_older_store_changes_nothing(tmp_path: Path, older: Older) -> None:
    with older():
        put(Store(tmp_path))
    before = (tmp_path / "thalweg.db").read_bytes()
    reader = Store(tmp_path, create=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = reader.get("run", "a")
        assert reader.list("run") == [record]
    assert reader.read("run") == ([record], [])
    assert torch.equal(reader.arrays(record.objects["state"])["theta"], torch.ones(4))
    assert reader.check() == []
    assert list(reader.abandoned()) == []
    assert ("run", "a") in reader
    assert (tmp_path / "thalweg.db").read_bytes() == before
    put(reader, "b")
    assert version(tmp_path) == len(schema.MIGRATIONS)
    assert len(reader.list("run")) == 2
    assert reader.check() == []


def test_a_store_that_became_newer_meanwhile_is_not_set_back(tmp_path: Path, older: Older) -> None:
    with older():
        old = Store(tmp_path)
    Store(tmp_path)
    with older():
        put(old)
        with contextlib.suppress(StorageError):
            Store(tmp_path)
    assert version(tmp_path) == len(schema.MIGRATIONS)


def test_what_is_to_be_copied_or_deleted_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    begin = store._database.transaction

    def late() -> AbstractContextManager[sqlite3.Connection]:
        if ("run", "a") in other:
            other.delete("run", "a")
        return begin()

    for work in (lambda: store.copy("run", "a", "b"), lambda: store.delete("run", "a")):
        put(other)
        put(other, "b", 2.0)
        with monkeypatch.context() as patch:
            patch.setattr(store._database, "transaction", late)
            with pytest.raises(StorageError, match="has no run named 'a'"):
                work()
        assert store.get("run", "b").document == {"value": 2.0}
        assert the_object(store, key="b").is_file()
