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


def of_record(database: sqlite3.Connection, record: int) -> str:
    """The checksum of a record as it is in the database."""
    fields = database.execute(f"{_FIELDS} FROM record WHERE id = ?", (record,)).fetchone()
    return checksum(fields, database.execute(f"{_OBJECTS} WHERE record = ? ORDER BY 1", (record,)).fetchall())


def seal(database: sqlite3.Connection, record: int) -> None:
    """Note the checksum of a record that was just written; within the same transaction."""
    database.execute("INSERT INTO checksum (record, sha256) VALUES (?, ?)", (record, of_record(database, record)))


def seal_all(database: sqlite3.Connection) -> None:
    """Note the checksum of every record: what an older store has is taken as it is."""
    for (record,) in database.execute("SELECT id FROM record").fetchall():
        seal(database, record)
