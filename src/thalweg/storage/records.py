"""Records of a store as rows of its database, and their documents as JSON."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thalweg.errors import UsageError


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
class Staged:
    """A finished file that does not have its name yet."""

    temporary: Path
    sha256: str
    size: int


def as_json(kind: str, key: str, document: Mapping[str, Any]) -> str:
    """A document as strict JSON.

    Raises:
        UsageError: it is none, or kind or key is empty.
    """
    if not kind or not key:
        msg = f"A record needs a kind and a key, and got {kind!r} and {key!r}."
        raise UsageError(msg)
    try:
        text = json.dumps(dict(document), allow_nan=False)
        json.loads(text, object_pairs_hook=_distinct)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The document of the {kind} {key!r} is not strict JSON ({error}); put arrays into `arrays`."
        raise UsageError(msg) from error
    return text


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError where two keys, such as 1 and "1", are one in JSON."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"two of its keys are {twice!r} as text"
        raise ValueError(msg)


def objects_of(database: sqlite3.Connection, kind: str, key: str) -> set[str]:
    """The hashes of what a record refers to; none where there is no such record."""
    query = "SELECT sha256 FROM object JOIN record ON record = id WHERE kind = ? AND key = ?"
    return {row[0] for row in database.execute(query, (kind, key))}


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


def read(database: sqlite3.Connection, where: str, values: tuple[str, ...]) -> list[Record]:
    """The records that an SQL condition chooses, newest first."""
    # One statement, so that records and objects are of the same moment.
    query = f"""SELECT kind, key, document, created, role, sha256 FROM record
        LEFT JOIN object ON record = id {where} ORDER BY id DESC, role"""
    records: dict[tuple[str, str], Record] = {}
    objects: dict[tuple[str, str], dict[str, str]] = {}
    for kind, key, document, created, role, sha256 in database.execute(query, values):
        if (kind, key) not in records:
            objects[kind, key] = {}
            records[kind, key] = Record(kind, key, json.loads(document), created, objects[kind, key])
        if role is not None:
            objects[kind, key][role] = sha256
    return list(records.values())
