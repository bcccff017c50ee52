"""Records of a store as rows of its database, and their documents as JSON."""

import contextlib
import difflib
import itertools
import json
import operator
import sqlite3
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thalweg.errors import StorageError, UsageError
from thalweg.storage.checksums import UNSEALED, checksum, has_checksums, seal
from thalweg.storage.encoding import parsed


@dataclass(frozen=True)
class Record:
    """One entry of a store.

    Args:
        kind: "run", "checkpoint", "reading" or "study".
        key: its name, unique within the kind.
        document: what was put, as JSON reads it back (tuples are lists, keys are text).
        created: UTC, ISO 8601.
        objects: by role, the SHA-256 to ask `Store.arrays` for.

    Example:
        >>> import tempfile
        >>> import thalweg as tw
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tw.Store(folder).put("run", "first", {"lr": 0.1}).document
        {'lr': 0.1}
    """

    kind: str
    key: str
    document: dict[str, Any]
    created: str
    objects: Mapping[str, str]


@dataclass(frozen=True)
class Damaged:
    """A record whose content is not what was put."""

    kind: str
    key: str

    def __str__(self) -> str:
        return (
            f"The {self.kind} {self.key!r} is damaged: its document is no JSON, or does not have the checksum that "
            f"was stored with it. Nothing of it is used; copy thalweg.db back, or remove it, "
            f"store.delete({self.kind!r}, {self.key!r}), and make it again."
        )


@dataclass(frozen=True)
class Unsealed:
    """A record that is read as it is, without a checksum."""

    kind: str
    key: str

    def __str__(self) -> str:
        return (
            f"The {self.kind} {self.key!r} has no checksum: an older Thalweg put it after a newer one had brought the "
            "store up to date. It is read as it is, and damage would not be found; it gets a checksum when the store "
            "is next opened to be written, as tw.Store(path) does."
        )


@dataclass(frozen=True)
class Staged:
    """A finished file that does not have its name yet."""

    temporary: Path
    sha256: str
    size: int


def as_json(kind: str, key: str, document: Mapping[str, Any]) -> str:
    """A document as strict JSON.

    Raises:
        UsageError: it is none, or kind or key is empty or not text that can be shown.
    """
    check_names(kind, key)
    try:
        text = json.dumps(dict(document), allow_nan=False)
        json.loads(text, object_pairs_hook=_distinct)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The document of the {kind} {key!r} is not strict JSON ({error}); put arrays into `arrays`."
        raise UsageError(msg) from error
    return text


def check_names(kind: str, key: str) -> None:
    """Raise UsageError for names that nobody could see or write again."""
    for name in (kind, key):
        if not isinstance(name, str) or not name or not all(map(_shows, name)):
            msg = f"A record needs a kind and a key, printable text both, and got {kind!r} and {key!r}."
            raise UsageError(msg)


def _shows(letter: str) -> bool:
    """Whether a letter is one to look at, or a space: none that commands a terminal, and no half of one."""
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError where two keys, such as 1 and "1", are one in JSON."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"two of its keys are {twice!r} as text"
        raise ValueError(msg)


def is_text(name: object) -> bool:
    """Whether it is text that can be written at all: none with half a letter in it."""
    return isinstance(name, str) and name == name.encode(errors="replace").decode()


def objects_of(database: sqlite3.Connection, kind: str, key: str) -> set[str]:
    """The hashes of what a record refers to; none where there is no such record."""
    query = "SELECT CAST(sha256 AS BLOB) FROM object JOIN record ON record = id WHERE kind = ? AND key = ?"
    return {row[0].decode(errors="replace") for row in database.execute(query, (kind, key))}


def write(database: sqlite3.Connection, kind: str, key: str, text: str, staged: Mapping[str, Staged]) -> Record:
    """Put a record in place of the one of its kind and key; within a transaction."""
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    database.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))
    row = database.execute(
        "INSERT INTO record (kind, key, document, created) VALUES (?, ?, ?, ?)", (kind, key, text, created)
    )
    database.executemany(
        "INSERT INTO object (record, role, sha256, bytes) VALUES (?, ?, ?, ?)",
        [(row.lastrowid, role, file.sha256, file.size) for role, file in staged.items()],
    )
    seal(database, row.lastrowid or 0)
    return Record(kind, key, json.loads(text), created, {role: file.sha256 for role, file in staged.items()})


def duplicate(database: sqlite3.Connection, kind: str, key: str, new: str) -> None:
    """Put a record also under another key, where it refers to the same objects; within a transaction."""
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    (source,) = database.execute("SELECT id FROM record WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    database.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, new))
    row = database.execute(
        "INSERT INTO record (kind, key, document, created) SELECT kind, ?, document, ? FROM record WHERE id = ?",
        (new, created, source),
    )
    database.execute(
        "INSERT INTO object (record, role, sha256, bytes) SELECT ?, role, sha256, bytes FROM object WHERE record = ?",
        (row.lastrowid, source),
    )
    seal(database, row.lastrowid or 0)


def read(
    database: sqlite3.Connection, where: str, values: tuple[str, ...]
) -> tuple[list[Record], list[Damaged], list[Unsealed]]:
    """The records that an SQL condition chooses, newest first; those that are damaged; those without a checksum.

    The first and the last are read as they are, and all of a store from before there were checksums.
    """
    # One statement, so that records and objects are of the same moment; as bytes, as damaged text may be none.
    checked = has_checksums(database)
    fields = ("kind", "key", "document", "created", "role", "object.sha256", "bytes")
    fields += ("checksum.sha256",) if checked else ("NULL",)
    checksums = "LEFT JOIN checksum ON checksum.record = id" if checked else ""
    query = f"""SELECT id, {", ".join(f"CAST({field} AS BLOB)" for field in fields)} FROM record
        LEFT JOIN object ON object.record = id {checksums}
        {where} ORDER BY id DESC, 6"""
    records: list[Record] = []
    damaged: list[Damaged] = []
    unsealed: list[Unsealed] = []
    for _, rows in itertools.groupby(database.execute(query, values), operator.itemgetter(0)):
        lines = [row[1:] for row in rows]
        own, sealed = lines[0][:4], lines[0][7]
        objects = [line[4:7] for line in lines if line[4] is not None]
        never = sealed == UNSEALED.encode()
        if never or not checked or checksum(own, objects).encode() == sealed:
            with contextlib.suppress(StorageError, UnicodeDecodeError):
                kind, key, document, created = (field.decode() for field in own)
                hashes = {role.decode(): sha256.decode() for role, sha256, _ in objects}
                records.append(Record(kind, key, parsed(document), created, hashes))
                unsealed += [Unsealed(kind, key)] if never else []
                continue
        damaged.append(Damaged(*(field.decode(errors="backslashreplace") for field in own[:2])))
    return records, damaged, unsealed


def read_one(database: sqlite3.Connection, kind: str, key: str, store: Path) -> tuple[Record, list[Unsealed]]:
    """The record of a kind and key, and itself again where it has no checksum.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    if is_text(kind) and is_text(key):
        found, damaged, unsealed = read(database, "WHERE kind = ? AND key = ?", (kind, key))
        if found:
            return found[0], unsealed
        for one in damaged:
            raise StorageError(str(one))
    raise missing(database, kind, key, store)


def check_there(database: sqlite3.Connection, kind: str, key: str, store: Path) -> None:
    """Raise StorageError where a store has no record of this kind and key, be it damaged or not."""
    if is_text(kind) and is_text(key):
        query = "SELECT 1 FROM record WHERE kind = ? AND key = ?"
        if database.execute(query, (kind, key)).fetchone() is not None:
            return
    raise missing(database, kind, key, store)


def missing(database: sqlite3.Connection, kind: str, key: str, store: Path) -> StorageError:
    """What says that there is no such record, and what there is.

    Args:
        store: its folder as the user named it.
    """
    if not is_text(kind) or not is_text(key):
        return StorageError(f"The store {store} has no {kind!r} named {key!r}, which is no text.")
    rows = database.execute("SELECT CAST(key AS BLOB) FROM record WHERE kind = ?", (kind,))
    keys = [row[0].decode(errors="backslashreplace") for row in rows]
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else f" It has {len(keys)} of that kind."
    return StorageError(f"The store {store} has no {kind} named {key!r}.{hint}")
