"""Results on disk: a directory with a SQLite database and content-addressed safetensors files.

Written so that a kill at any moment leaves every record as it was before or as it is after:

1. arrays go to a file in `unfinished/`, which is flushed to the disk and hashed;
2. inside one BEGIN IMMEDIATE transaction, which only one process can hold, the files are renamed to
   `objects/<sha256>.safetensors` and the record that refers to them is written;
3. files that no record refers to any more are removed, under the same lock.

The database uses SQLite's rollback journal, not its write-ahead log: the log needs memory shared between
processes, which network file systems (where clusters keep results) do not have, and it leaves records in a
second file that a plain copy of `thalweg.db` would miss. Writes are seconds apart, so nothing is lost by it.
A connection lives for one call, which keeps a store usable across threads and forks.
"""

import contextlib
import difflib
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from thalweg.errors import StorageError, UsageError
from thalweg.storage import schema
from thalweg.storage.atomic import explaining, sync, temporary_beside
from thalweg.storage.records import Record, Staged, as_json, duplicate, objects_of, read, write
from thalweg.storage.statefile import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_HASH = re.compile("[0-9a-f]{64}")
_ABANDONED = 3600.0  # seconds since the last write after which an unfinished file belongs to nobody
_PATIENCE = 60.0  # seconds to wait for another process's transaction, which takes milliseconds


class Store:
    """A directory that holds results: `thalweg.db` and `objects/<sha256>.safetensors`.

    Args:
        path: the directory; made when it is missing.
        create: False to refuse a directory that is not a store yet, for those who only read.

    Raises:
        StorageError: the path is a file, cannot be written, holds a foreign or damaged database or objects without
            one, or was written by a newer Thalweg.

    Example:
        >>> import tempfile, torch
        >>> import thalweg as tw
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = tw.Store(folder)
        ...     record = store.put("run", "first", {"lr": 0.1}, {"state": {"theta": torch.zeros(3)}})
        ...     store.get("run", "first").document, store.arrays(record.objects["state"])["theta"].tolist()
        ({'lr': 0.1}, [0.0, 0.0, 0.0])
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        self.path = Path(path)
        self._database = self.path / "thalweg.db"
        self._objects = self.path / "objects"
        self._unfinished = self.path / "unfinished"
        if not create and not self._database.is_file():
            msg = f"{self.path} is not a store: it has no thalweg.db."
            raise StorageError(msg)
        with explaining(self.path):
            if self.path.exists() and not self.path.is_dir():
                msg = f"{self.path} is a file, and a store is a directory; choose another place."
                raise StorageError(msg)
            orphans = self._kept()
            if not self._database.is_file():
                if orphans:
                    raise StorageError(self._orphaned("is missing"))
                self._objects.mkdir(parents=True, exist_ok=True)
                self._unfinished.mkdir(exist_ok=True)
                self._database.touch()
                sync(self.path)
        self._prepare(create)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def put(
        self,
        kind: str,
        key: str,
        document: Mapping[str, Any],
        arrays: Mapping[str, Mapping[str, "Tensor | NDArray[Any]"]] | None = None,
    ) -> Record:
        """Write a record, in place of the one of this kind and key if there is one.

        Args:
            kind: "run", "checkpoint", "reading" or "study".
            key: its name.
            document: JSON-able entries; NaN and infinities are not JSON.
            arrays: by role, named tensors or arrays; each role becomes one file.

        Raises:
            StorageError: the disk is full or cannot be written; the record is then as before.
            UsageError: the document is not JSON-able, or an entry of the arrays is not a tensor or array.
        """
        text = as_json(kind, key, document)
        staged: dict[str, Staged] = {}
        superseded: set[str] = set()
        try:
            with explaining(self.path):
                if arrays:  # empty directories get lost when a store is copied
                    self._objects.mkdir(exist_ok=True)
                    self._unfinished.mkdir(exist_ok=True)
                for role, tensors in (arrays or {}).items():
                    staged[role] = self._stage(tensors)
                with self._transaction() as database:
                    superseded = objects_of(database, kind, key)
                    for file in staged.values():
                        os.replace(file.temporary, self._object(file.sha256))
                    if staged:
                        sync(self._objects)
                    return write(database, kind, key, text, staged)
        finally:
            for file in staged.values():
                file.temporary.unlink(missing_ok=True)
            self._tidy(superseded | {file.sha256 for file in staged.values()})

    def get(self, kind: str, key: str) -> Record:
        """The record of this kind and key.

        Raises:
            StorageError: there is none.
        """
        with self._connection() as database:
            found = read(database, "WHERE kind = ? AND key = ?", (kind, key))
            if found:
                return found[0]
            keys = [row[0] for row in database.execute("SELECT key FROM record WHERE kind = ?", (kind,))]
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else f" It has {len(keys)} of that kind."
        msg = f"The store {self.path} has no {kind} named {key!r}.{hint}"
        raise StorageError(msg)

    def __contains__(self, kind_and_key: tuple[str, str]) -> bool:
        with self._connection() as database:
            query = "SELECT 1 FROM record WHERE kind = ? AND key = ?"
            return database.execute(query, kind_and_key).fetchone() is not None

    def list(self, kind: str) -> list[Record]:
        """Every record of a kind, newest first."""
        with self._connection() as database:
            return read(database, "WHERE kind = ?", (kind,))

    def arrays(self, sha256: str) -> dict[str, "Tensor"]:
        """The named tensors of an object, on the CPU, verified against their hash.

        Raises:
            StorageError: the object is missing, or its content is not what was put.
        """
        path = self._object(sha256)
        if not path.is_file():
            msg = (
                f"The store {self.path} misses the object {sha256[:12]}...: its record was replaced or deleted since "
                "it was read (get it again), or the file was removed by hand (copy it back, or make it again)."
            )
            raise StorageError(msg)
        with explaining(path):
            if _digest(path) != sha256:
                msg = (
                    f"The object {path} was altered or truncated: its content does not have the hash it is named by. "
                    "Nothing of it was used; copy it back from elsewhere, or make it again."
                )
                raise StorageError(msg)
            return read_safetensors(path)

    def has_object(self, sha256: str) -> bool:
        """Whether the file of an object is there; `arrays` verifies its content as well."""
        return self._object(sha256).is_file()

    def copy(self, kind: str, key: str, new: str) -> None:
        """Put a record under a further key, in place of one that is there; its arrays are shared, not written again.

        Raises:
            StorageError: there is no such record, or the store cannot be written; all is then as before.
        """
        self.get(kind, key)
        with explaining(self.path), self._transaction() as database:
            superseded = objects_of(database, kind, new)
            duplicate(database, kind, key, new)
        self._tidy(superseded)

    def delete(self, kind: str, key: str) -> None:
        """Remove a record, and its arrays where no other record has the same.

        Raises:
            StorageError: there is none, or the store cannot be written.
        """
        self.get(kind, key)
        with explaining(self.path), self._transaction() as database:
            gone = objects_of(database, kind, key)
            database.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))
        self._tidy(gone)

    def collect(self) -> int:
        """Remove what killed processes left: objects without a record, files unfinished for an hour; how many.

        Raises:
            StorageError: the store cannot be written.
        """
        with explaining(self.path), self._transaction() as database:
            removed = self._remove_unreferenced(database, self._kept())
            abandoned = time.time() - _ABANDONED
            for unfinished in self._unfinished.glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if unfinished.stat().st_mtime < abandoned:
                        unfinished.unlink()
                        removed += 1
        return removed

    def check(self) -> Sequence[str]:
        """Every fault of the store as a sentence; [] when all is well. Reads every object."""
        with self._connection() as database:
            problems = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
            rows = database.execute(
                "SELECT kind, key, role, sha256 FROM object JOIN record ON record = id ORDER BY id, role"
            ).fetchall()
        faults: dict[str, str | None] = {}
        for kind, key, role, sha256 in rows:
            if sha256 not in faults:
                faults[sha256] = self._fault(sha256)
            if faults[sha256]:
                problems.append(f"The {role} of the {kind} {key!r}: {faults[sha256]}")
        return problems

    def _fault(self, sha256: str) -> str | None:
        try:
            self.arrays(sha256)
        except StorageError as error:
            return str(error)
        return None

    def _kept(self) -> set[str]:
        """The hashes of the objects that are there."""
        return {file.stem for file in self._objects.glob("*.safetensors") if _HASH.fullmatch(file.stem)}

    def _object(self, sha256: str) -> Path:
        if not _HASH.fullmatch(sha256):
            msg = f"{sha256!r} is not the SHA-256 of an object; take it from a record's objects."
            raise UsageError(msg)
        return self._objects / f"{sha256}.safetensors"

    def _stage(self, tensors: Mapping[str, Any]) -> "Staged":
        """The arrays in a temporary file that is on the disk, and its hash."""
        temporary = temporary_beside(self._unfinished / ".safetensors")
        try:
            write_safetensors(temporary, tensors)
            sync(temporary)
            return Staged(temporary, _digest(temporary), temporary.stat().st_size)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _tidy(self, candidates: set[str]) -> None:
        """Remove those of the objects that no record refers to; a failure waits for `collect`."""
        if not candidates:
            return
        with contextlib.suppress(OSError), self._transaction() as database:
            self._remove_unreferenced(database, candidates)

    def _remove_unreferenced(self, database: sqlite3.Connection, candidates: Iterable[str]) -> int:
        # Inside a write transaction, so that no other process can be about to refer to one of them.
        kept = {row[0] for row in database.execute("SELECT DISTINCT sha256 FROM object")}
        unreferenced = [path for sha256 in set(candidates) - kept if (path := self._object(sha256)).exists()]
        for path in unreferenced:
            path.unlink(missing_ok=True)
        return len(unreferenced)

    def _prepare(self, create: bool) -> None:
        """Refuse what is not ours or not known; bring an older schema up to date."""
        orphans = self._kept()  # ahead of the version: whoever is making this store right now migrates it first
        with self._connection() as database:
            if schema.is_foreign(database):
                msg = f"{self._database} is a SQLite file of another program; choose another place for the store."
                raise StorageError(msg)
            version = schema.version_of(database)
        if version > len(schema.MIGRATIONS):
            msg = (
                f"The store {self.path} has schema version {version}, and this Thalweg knows versions up to "
                f"{len(schema.MIGRATIONS)}; it was written by a newer Thalweg, so upgrade to read it."
            )
            raise StorageError(msg)
        if version == 0 and orphans:
            raise StorageError(self._orphaned("is empty"))
        if version == 0 and not create:
            msg = f"{self.path} is not a store: its thalweg.db is empty."
            raise StorageError(msg)
        if version < len(schema.MIGRATIONS):
            with self._transaction() as database:
                schema.migrate(database)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one call, with SQLite's errors in words."""
        location = f"file:{quote(str(self._database.absolute()))}?mode=rw"
        try:
            database = sqlite3.connect(location, uri=True, timeout=_PATIENCE, isolation_level=None)
            try:
                database.execute("PRAGMA foreign_keys = ON")
                database.execute("PRAGMA synchronous = EXTRA")  # a commit survives a power cut
                yield database
            finally:
                database.close()
        except sqlite3.Error as error:
            raise StorageError(self._describe(error)) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that holds the store's only write lock; all of it is committed, or none."""
        with self._connection() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    def _orphaned(self, what: str) -> str:
        return (
            f"{self._database} {what}, but {self._objects} holds the arrays of a store, so nothing was changed; "
            "copy the database back, or choose another place."
        )

    def _describe(self, error: sqlite3.Error) -> str:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return f"The store {self.path} was kept busy by another process for {_PATIENCE:.0f} s; try again later."
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
            return f"{self._database} cannot be opened or written; change its permissions or choose another place."
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return (
                f"The disk or quota that holds {self.path} is full or failing, so nothing was changed; "
                "free space and run it again."
            )
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return f"{self._database} is damaged, or is not a database; copy it back or choose another place."
        return f"The store {self.path} failed: {error}."


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
