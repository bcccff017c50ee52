"""The tables of a store, and how an older store becomes a current one."""

import sqlite3
from collections.abc import Callable

from thalweg.storage.checksums import seal_all

# In the header of every store's database, so that someone else's SQLite file is never written into: "THLW".
APPLICATION_ID = 0x54484C57

# MIGRATIONS[v] turns a database of version v into version v + 1; an empty file has version 0. A migration
# that was released is never edited: a change of the tables is another entry at the end.
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


def migrate(database: sqlite3.Connection) -> None:
    """Bring a database to the newest version; call it inside a transaction, which makes it all or nothing."""
    for statements in MIGRATIONS[version_of(database) :]:
        for statement in statements:
            if isinstance(statement, str):
                database.execute(statement)
            else:
                statement(database)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
