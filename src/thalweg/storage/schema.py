"""The tables of a store, and how an older store becomes a current one."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from thalweg.errors import StorageError
from thalweg.storage.checksums import has_unsealed, seal_all

# In the header of every store's database, so that someone else's SQLite file is never written into: "THLW".
APPLICATION_ID = 0x54484C57

# MIGRATIONS[v] turns a database of version v into version v + 1; an empty file has version 0. A migration
# that was released is never edited: a change of the tables is another entry at the end. An older Thalweg that has
# the store open, such as one in a long training, goes on writing to it as it knows it: nothing of that may be lost.
MIGRATIONS: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...] = (
    (
        """CREATE TABLE record (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- a replaced record gets a new one, so the highest is the newest
    kind     TEXT NOT NULL,                     -- run, checkpoint, reading, study
    key      TEXT NOT NULL,                     -- its name, unique within the kind
    document TEXT NOT NULL,                     -- strict JSON
    created  TEXT NOT NULL,                     -- UTC, ISO 8601
    UNIQUE (kind, key)
)""",
        """CREATE TABLE object (
    record INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
    role   TEXT NOT NULL,                       -- what the arrays are to the record, such as state
    sha256 TEXT NOT NULL,                       -- the file is objects/<sha256>.safetensors
    bytes  INTEGER NOT NULL,                    -- its size
    PRIMARY KEY (record, role)
)""",
        "CREATE INDEX object_sha256 ON object (sha256)",
    ),
    (
        """CREATE TABLE checksum (
    record INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL                        -- of all that the record says
)""",
        seal_all,
        # What an older Thalweg puts from now on is told from what lost its checksum on a damaged disk.
        """CREATE TRIGGER unsealed AFTER INSERT ON record
BEGIN INSERT INTO checksum (record, sha256) VALUES (new.id, 'none'); END""",
    ),
)


def version_of(database: sqlite3.Connection) -> int:
    """The schema version a database says it has."""
    return database.execute("PRAGMA user_version").fetchone()[0]


def is_foreign(database: sqlite3.Connection) -> bool:
    """Whether this is a database, but not a store's: something else's tables are in it."""
    application = database.execute("PRAGMA application_id").fetchone()[0]
    if application == APPLICATION_ID:
        return False
    return application != 0 or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0


def is_current(database: sqlite3.Connection) -> bool:
    """Whether a database, which is not newer, has all that this version has."""
    return version_of(database) == len(MIGRATIONS) and not has_unsealed(database)


def check_known(database: sqlite3.Connection, shown: Path) -> None:
    """Raise StorageError where a database is none of a store, or of a newer Thalweg.

    Args:
        shown: its file as the user named it.
    """
    if is_foreign(database):
        msg = f"{shown} is a SQLite file of another program; choose another place for the store."
        raise StorageError(msg)
    version = version_of(database)
    if version > len(MIGRATIONS):
        msg = (
            f"The store {shown.parent} has schema version {version}, and this Thalweg knows versions up to "
            f"{len(MIGRATIONS)}; it was written by a newer Thalweg, so upgrade to read it."
        )
        raise StorageError(msg)


def migrate(database: sqlite3.Connection) -> None:
    """Bring a database to the newest version; call it inside a transaction, which makes it all or nothing.

    One that is newer, brought up to date by another process meanwhile, stays as it is.
    """
    if version_of(database) >= len(MIGRATIONS):
        return
    for statements in MIGRATIONS[version_of(database) :]:
        for statement in statements:
            if isinstance(statement, str):
                database.execute(statement)
            else:
                statement(database)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
