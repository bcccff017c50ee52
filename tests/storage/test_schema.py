"""The tables of a store are those published, and an older store is brought up to date."""

import re
import sqlite3
from pathlib import Path

import pytest
from storage.records_of_tests import put

from thalweg.errors import StorageError
from thalweg.storage import Store, schema


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


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
    with pytest.raises(StorageError, match=r"schema version 3, and this Thalweg knows versions up to 2.*upgrade"):
        Store(store.path)
