"""The database of a store: a connection for each call, transactions, and SQLite's errors in words."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from thalweg.errors import StorageError
from thalweg.storage import schema

_PATIENCE = 60.0  # seconds to wait for another process's transaction, which takes milliseconds


class Database:
    """A SQLite file that many processes may use.

    Args:
        path: of the file, absolute.
        shown: the store's folder as the user named it.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self.path, self.shown = path, shown

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one call, with SQLite's errors in words."""
        location = f"file:{quote(str(self.path))}?mode=rw"
        try:
            database = sqlite3.connect(location, uri=True, timeout=_PATIENCE, isolation_level=None)
            try:
                database.execute("PRAGMA foreign_keys = ON")
                database.execute("PRAGMA synchronous = EXTRA")  # a commit survives a power cut
                yield database
            finally:
                database.close()
        except sqlite3.Error as error:
            raise StorageError(self._described(error)) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that holds the store's only write lock; all of it is committed, or none.

        An older store is brought up to date by the first that is written to it.
        """
        with self.connection() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                schema.migrate(database)
                yield database
                database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    def can_be_written(self) -> bool:
        """Whether the permissions say so, of the file and of its folder, where the journal goes."""
        effective = os.access in os.supports_effective_ids
        return all(os.access(one, os.W_OK, effective_ids=effective) for one in (self.path, self.path.parent))

    def _described(self, error: sqlite3.Error) -> str:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return f"The store {self.shown} was kept busy by another process for {_PATIENCE:.0f} s; try again later."
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
            return (
                f"{self.shown / self.path.name} cannot be opened or written; change its permissions or choose another "
                "place."
            )
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return (
                f"The disk or quota that holds {self.shown} is full or failing, so nothing was changed; "
                "free space and run it again."
            )
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return (
                f"{self.shown / self.path.name} is damaged, or is not a database; copy it back or choose another place."
            )
        return f"The store {self.shown} failed: {error}."
