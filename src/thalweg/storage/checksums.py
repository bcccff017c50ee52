"""A checksum of all that a record says, so that a bit that turned on the disk is found and not read as a number."""

import hashlib
import sqlite3

# What a record says, as bytes: text that is damaged may be no text any more.
_FIELDS = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(document AS BLOB), CAST(created AS BLOB)"
_OBJECTS = "SELECT CAST(role AS BLOB), CAST(sha256 AS BLOB), CAST(bytes AS BLOB) FROM object"


def checksum(fields: tuple[bytes, ...], objects: list[tuple[bytes, ...]]) -> str:
    """SHA-256 over kind, key, document, created, then role, sha256 and bytes of each object by role.

    Each is preceded by its length in bytes as decimal digits and a colon, so that none can pass into the next.
    """
    made = hashlib.sha256()
    for field in (*fields, *(field for one in objects for field in one)):
        made.update(b"%d:" % len(field) + field)
    return made.hexdigest()


UNSEALED = "none"  # in the place of a checksum, of a record put by a Thalweg that knows of no checksums


def of_record(database: sqlite3.Connection, record: int) -> str:
    """The checksum of a record as it is in the database."""
    fields = database.execute(f"{_FIELDS} FROM record WHERE id = ?", (record,)).fetchone()
    return checksum(fields, database.execute(f"{_OBJECTS} WHERE record = ? ORDER BY 1", (record,)).fetchall())


def seal(database: sqlite3.Connection, record: int) -> None:
    """Note the checksum of a record that was just written; within the same transaction."""
    sealed = (record, of_record(database, record))
    database.execute("INSERT OR REPLACE INTO checksum (record, sha256) VALUES (?, ?)", sealed)


def seal_all(database: sqlite3.Connection) -> None:
    """Note the checksum of every record: what an older store has is taken as it is."""
    for (record,) in database.execute("SELECT id FROM record").fetchall():
        seal(database, record)


def has_checksums(database: sqlite3.Connection) -> bool:
    """Whether a store is not from before there were checksums."""
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'checksum'").fetchone() is not None


def has_unsealed(database: sqlite3.Connection) -> bool:
    """Whether a Thalweg that knows of no checksums put a record after the store had them."""
    query = "SELECT 1 FROM checksum WHERE sha256 = ?"
    return has_checksums(database) and database.execute(query, (UNSEALED,)).fetchone() is not None


def seal_late(database: sqlite3.Connection) -> None:
    """Note the checksum of each of those records: taken as it is, like what an older store has."""
    for (record,) in database.execute("SELECT record FROM checksum WHERE sha256 = ?", (UNSEALED,)).fetchall():
        seal(database, record)
