"""A bit that turns in the database: it is never read as another number, and never hides other records."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from storage.records_of_tests import put, the_object

from thalweg.errors import StorageError, UsageError
from thalweg.storage import Store, schema
from thalweg.storage.encoding import decode_array, parsed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for key in "abc":
        made.put("reading", key, {"loss": [1.25, 2.5], "name": key})
    return made


def flipped(store: Store, at: bytes, bit: int) -> None:
    """Turn one bit of the last place in the database that says so."""
    path = store.path / "thalweg.db"
    content = bytearray(path.read_bytes())
    content[content.rindex(at)] ^= bit
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("at", "bit"),
    [(b'1.25, 2.5], "name": "b"', 2), (b'{"loss": [1.25, 2.5], "name": "b"', 1), (b'b"}', 128), (b'b"}2', 8)],
    ids=["a number", "no JSON", "no text", "the next field"],
)
def test_a_turned_bit_is_named_and_hides_nothing_else(store: Store, at: bytes, bit: int) -> None:
    flipped(store, at, bit)
    with pytest.raises(StorageError, match=r"The reading 'b' is damaged.*store\.delete\('reading', 'b'\)"):
        store.get("reading", "b")
    with pytest.warns(UserWarning, match="The reading 'b' is damaged"):
        found = store.list("reading")
    assert [record.key for record in found] == ["c", "a"]
    assert [len(part) for part in store.read("reading")] == [2, 1]
    assert len(store.check()) == 1
    assert store.get("reading", "a").document["loss"] == [1.25, 2.5]
    with pytest.raises(StorageError, match="is damaged"):
        store.copy("reading", "b", "d")
    store.delete("reading", "b")
    assert store.check() == []


def test_it_is_healed_by_putting_it_again(store: Store) -> None:
    flipped(store, b'1.25, 2.5], "name": "b"', 2)
    store.put("reading", "b", {"loss": [1.25, 2.5], "name": "b"})
    assert store.check() == []
    assert len(store.list("reading")) == 3


def test_every_bit_of_a_record_counts(tmp_path: Path) -> None:
    """Of every byte that a record has in its row, one bit is turned: the record is whole, refused or not found."""
    store = Store(tmp_path / "store")
    put(store)
    path, record = store.path / "thalweg.db", store.get("run", "a")
    before = path.read_bytes()
    row = before.rindex(b'{"value": 1.0}')
    wrong = []
    for place in range(row - 12, row + 60):
        path.write_bytes(before[:place] + bytes([before[place] ^ 1 << place % 8]) + before[place + 1 :])
        try:
            if store.get("run", "a") != record:
                wrong.append(place)
        except StorageError:
            pass
    assert wrong == []


def test_a_reference_that_is_damaged_keeps_its_object_from_being_collected(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    put(store)
    kept = the_object(store)
    database = sqlite3.connect(store.path / "thalweg.db")
    database.execute("UPDATE object SET sha256 = ?", (f"f{kept.stem[1:]}",))
    database.commit()
    database.close()
    with pytest.raises(StorageError, match=r"is damaged.*Until then nothing is removed"):
        store.collect()
    assert kept.is_file()


def test_a_store_without_checksums_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        patch.setattr("thalweg.storage.records.seal", lambda *_: None)
        old = Store(tmp_path)
        put(old)
        put(old, "b", 2.0)
    database = sqlite3.connect(tmp_path / "thalweg.db")
    database.execute("UPDATE record SET document = '{damaged' WHERE key = 'b'")
    database.commit()
    database.close()
    store = Store(tmp_path)
    assert store.get("run", "a").document == {"value": 1.0}
    with pytest.raises(StorageError, match="'b' is damaged"):
        store.get("run", "b")
    assert store.copy("run", "a", "c") is None
    assert len(store.read("run")[0]) == 2


@pytest.mark.parametrize("name", ["", "\x1b[2J", "a\nb", "\ud800", "\u202eevil", 7])
def test_names_that_cannot_be_shown_are_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="printable text both"):
        store.put("run", name, {})
    with pytest.raises(UsageError, match="printable text both"):
        store.copy("reading", "a", name)
    assert ("run", name) not in store
    with pytest.raises(StorageError, match="has no "):
        store.get("run", name)


def test_a_store_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    put(store)
    assert store.get("run", "a").document == {"value": 1.0}
    assert store.collect() == 0
    assert store.check() == []
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert str(store.path) == "here"


@pytest.mark.parametrize("path", ["", "a\0b", 7, None])
def test_no_path(path: str) -> None:
    with pytest.raises(UsageError, match=r"Store path must be|needs the path of its folder"):
        Store(path)


@pytest.mark.parametrize("name", ["U999999999", "S999999999", "V999999999", "object", "complex128", ">f8", 7, None])
def test_types_that_ask_for_gigabytes_or_code_are_refused(name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        decode_array({"dtype": name, "shape": [1], "values": ["a"]})


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5_000, "[NaN]", "", "{"], ids=["lists", "dicts", "digits", *"nef"]
)
def test_text_that_is_no_json_or_a_bomb(text: str) -> None:
    with pytest.raises(StorageError, match="This text is not JSON"):
        parsed(text)


def test_a_document_that_is_a_bomb_is_refused(store: Store) -> None:
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UsageError, match="not strict JSON"):
        store.put("run", "a", {"nested": nested})


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F64", "shape": [2**61, 8], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}},
        {"a": {"dtype": "F999", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F64", "shape": [1], "data_offsets": [-8, 0]}},
        {"a": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}},
    ],
)
def test_a_header_that_asks_for_more_than_there_is(tmp_path: Path, header: dict) -> None:
    from thalweg.storage import load_state_file

    text = json.dumps(header).encode()
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(StorageError, match="not a complete safetensors file"):
        load_state_file(path)
    path.write_bytes((2**62).to_bytes(8, "little") + text)
    with pytest.raises(StorageError, match="not a complete safetensors file"):
        load_state_file(path)


def test_the_name_of_the_header_is_no_name_of_a_tensor(store: Store, tmp_path: Path) -> None:
    from thalweg.storage import save_state_file

    with pytest.raises(UsageError, match="got '__metadata__', which is the header's own name"):
        save_state_file(tmp_path / "a.safetensors", {"__metadata__": torch.zeros(2)})
    with pytest.raises(UsageError, match="the header's own name"):
        store.put("run", "a", {}, {"state": {"__metadata__": np.zeros(2)}})
    assert not (tmp_path / "a.safetensors").exists()
