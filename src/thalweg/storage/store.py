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
import errno
import hashlib
import os
import re
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.arguments import in_words
from thalweg.errors import StorageError, UsageError, check_type
from thalweg.storage import schema
from thalweg.storage.atomic import explaining, sync, temporary_beside
from thalweg.storage.checksums import seal_late
from thalweg.storage.database import Database
from thalweg.storage.records import (
    Damaged,
    Record,
    Staged,
    as_json,
    check_names,
    check_there,
    duplicate,
    is_text,
    objects_of,
    read,
    read_one,
    write,
)
from thalweg.storage.statefile import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_HASH = re.compile("[0-9a-f]{64}")
_ABANDONED = 3600.0  # seconds since the last write after which an unfinished file belongs to nobody


class _UndoneError(Exception):
    """Ends a transaction of which nothing is to stay."""


class Store:
    """A directory that holds results: `thalweg.db` and `objects/<sha256>.safetensors`.

    Args:
        path: the directory; made when it is missing. A relative one is that of the moment, wherever the process goes.
        create: False to refuse a directory that is not a store yet, for those who only read: opening changes nothing.
            True also brings the store of an older Thalweg up to date, where it can be written; else the first that is
            put there does, and until then it is read as it is.

    Raises:
        StorageError: the path is a file, cannot be written, holds a foreign or damaged database or objects without
            one, or was written by a newer Thalweg.
        UsageError: the path is empty.

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
        check_type("Store path", path, (str, os.PathLike), "the path of a folder")
        if not str(path) or "\0" in str(path):
            msg = f"A store needs the path of its folder; got {str(path)!r}. Write '.' for the working folder."
            raise UsageError(msg)
        self.path = Path(path)
        here = Path(os.path.abspath(path))
        self._objects, self._unfinished = here / "objects", here / "unfinished"
        self._database, self._shown = Database(here / "thalweg.db", self.path), self.path / "thalweg.db"
        if not create and not self._database.path.is_file():
            msg = f"{self.path} is not a store: it has no thalweg.db."
            raise StorageError(msg)
        with explaining(self.path):
            if here.exists() and not here.is_dir():
                msg = f"{self.path} is a file, and a store is a directory; choose another place."
                raise StorageError(msg)
            orphans = self._kept()
            if not self._database.path.is_file():
                if orphans:
                    raise StorageError(self._orphaned("is missing"))
                self._objects.mkdir(parents=True, exist_ok=True)
                self._unfinished.mkdir(exist_ok=True)
                self._database.path.touch()
                sync(here)
        self._prepare(create)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @in_words
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
        for role, tensors in (arrays or {}).items():
            check_type("Store.put role", role, str, "text")
            check_type(f"Store.put arrays[{role!r}]", tensors, Mapping, 'named arrays such as {"theta": theta}')
        staged: dict[str, Staged] = {}
        superseded: set[str] = set()
        try:
            with explaining(self.path):
                if arrays:  # empty directories get lost when a store is copied
                    self._objects.mkdir(exist_ok=True)
                    self._unfinished.mkdir(exist_ok=True)
                for role, tensors in (arrays or {}).items():
                    staged[role] = self._stage(tensors)
                with self._database.transaction() as database:
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

    def try_out(
        self, kind: str, key: str, document: Mapping[str, Any], arrays: Mapping[str, Mapping[str, "Tensor"]]
    ) -> None:
        """Find now whether `put` of these would fail; a few bytes are written and removed again.

        Raises:
            StorageError: the store cannot be written, or the disk has no room for the arrays.
            UsageError: the document is not JSON-able, or an entry of the arrays cannot be stored.
        """
        text = as_json(kind, key, document)
        few = {role: {name: one.reshape(-1)[:0] for name, one in tensors.items()} for role, tensors in arrays.items()}
        size = sum(one.nbytes for tensors in arrays.values() for one in tensors.values())
        staged: dict[str, Staged] = {}
        try:
            with explaining(self.path):
                self._objects.mkdir(exist_ok=True)
                self._unfinished.mkdir(exist_ok=True)
                for role, tensors in few.items():
                    staged[role] = self._stage(tensors)
                if staged and not os.access(self._objects, os.W_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                if 0 < shutil.disk_usage(self._objects).free < size:  # 0 is what some network disks say
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                with contextlib.suppress(_UndoneError), self._database.transaction() as database:
                    write(database, kind, key, text, staged)
                    raise _UndoneError
        finally:
            for file in staged.values():
                file.temporary.unlink(missing_ok=True)

    def get(self, kind: str, key: str) -> Record:
        """The record of this kind and key.

        Raises:
            StorageError: there is none, or it is damaged.
        """
        with self._database.connection() as database:
            record, unsealed = read_one(database, kind, key, self.path)
        for one in unsealed:
            warnings.warn(str(one), stacklevel=2)
        return record

    def __contains__(self, kind_and_key: tuple[str, str]) -> bool:
        if not all(map(is_text, kind_and_key)):
            return False
        with self._database.connection() as database:
            query = "SELECT 1 FROM record WHERE kind = ? AND key = ?"
            return database.execute(query, kind_and_key).fetchone() is not None

    def list(self, kind: str) -> list[Record]:
        """Every record of a kind, newest first; a warning names each that is damaged, which is left out.

        Another warning names each that an older Thalweg put without a checksum, which is read as it is.
        """
        with self._database.connection() as database:
            found, damaged, unsealed = read(database, "WHERE kind = ?", (kind,))
        for one in (*damaged, *unsealed):
            warnings.warn(str(one), stacklevel=2)
        return found

    def read(self, kind: str) -> tuple[Sequence[Record], Sequence[Damaged]]:
        """Every record of a kind, newest first, and apart from them those that are damaged, as sentences by `str`."""
        with self._database.connection() as database:
            return read(database, "WHERE kind = ?", (kind,))[:2]

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
        check_names(kind, new)
        with explaining(self.path), self._database.transaction() as database:
            read_one(database, kind, key, self.path)
            superseded = objects_of(database, kind, new)
            duplicate(database, kind, key, new)
        self._tidy(superseded)

    def delete(self, kind: str, key: str) -> None:
        """Remove a record, and its arrays where no other record has the same.

        Raises:
            StorageError: there is none, or the store cannot be written.
        """
        with explaining(self.path), self._database.transaction() as database:
            check_there(database, kind, key, self.path)
            gone = objects_of(database, kind, key)
            database.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))
        self._tidy(gone)

    def collect(self) -> int:
        """Remove what killed processes left: objects without a record, files unfinished for an hour; how many.

        Raises:
            StorageError: the store cannot be written, or a record is damaged, which may refer to any of the objects.
        """
        with explaining(self.path), self._database.transaction() as database:
            damaged = read(database, "", ())[1]
            if damaged:
                msg = f"{damaged[0]} Until then nothing is removed that it may refer to."
                raise StorageError(msg)
            abandoned = self.abandoned(database)
            for path in abandoned:
                path.unlink(missing_ok=True)
        return len(abandoned)

    def abandoned(self, database: sqlite3.Connection | None = None) -> Sequence[Path]:
        """The files that `collect` would remove.

        Args:
            database: of the transaction they are removed in, if any.
        """
        with contextlib.nullcontext(database) if database else self._database.connection() as one:
            found = [*self._unreferenced(one, self._kept())]
        latest = time.time() - _ABANDONED
        for unfinished in self._unfinished.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if unfinished.stat().st_mtime < latest:
                    found.append(unfinished)
        return found

    def check(self) -> Sequence[str]:
        """Every fault of the store as a sentence; [] when all is well. Reads every record and every object."""
        with self._database.connection() as database:
            problems = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
            records, damaged, unsealed = read(database, "", ())
        problems += map(str, (*damaged, *unsealed))
        faults: dict[str, str | None] = {}
        for record in reversed(records):
            for role, sha256 in record.objects.items():
                if sha256 not in faults:
                    faults[sha256] = self._fault(sha256)
                if faults[sha256]:
                    problems.append(f"The {role} of the {record.kind} {record.key!r}: {faults[sha256]}")
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
        with contextlib.suppress(OSError), self._database.transaction() as database:
            for path in self._unreferenced(database, candidates):
                path.unlink(missing_ok=True)

    def _unreferenced(self, database: sqlite3.Connection, candidates: Iterable[str]) -> Sequence[Path]:
        # To remove them it must be inside a write transaction: no other process can be about to refer to one of them.
        rows = database.execute("SELECT DISTINCT CAST(sha256 AS BLOB) FROM object")
        kept = {row[0].decode(errors="replace") for row in rows}
        gone = filter(_HASH.fullmatch, set(candidates) - kept)  # a damaged reference may be no hash
        return [path for sha256 in gone if (path := self._object(sha256)).exists()]

    def _prepare(self, create: bool) -> None:
        """Refuse what is not ours or not known; bring an older schema up to date where that is wanted and can be."""
        orphans = self._kept()  # ahead of the version: whoever is making this store right now migrates it first
        with self._database.connection() as database:
            schema.check_known(database, self._shown)
            version, current = schema.version_of(database), schema.is_current(database)
        if version == 0 and orphans:
            raise StorageError(self._orphaned("is empty"))
        if version == 0 and not create:
            msg = f"{self.path} is not a store: its thalweg.db is empty."
            raise StorageError(msg)
        if create and not current and (version == 0 or self._database.can_be_written()):
            with self._database.transaction() as database:  # which brings an older one up to date
                if not schema.is_current(database):
                    seal_late(database)

    def _orphaned(self, what: str) -> str:
        return (
            f"{self._shown} {what}, but {self.path / 'objects'} holds the arrays of a store, so nothing was changed; "
            "copy the database back, or choose another place."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
