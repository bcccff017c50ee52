"""Files that are either as before or complete, whatever happens meanwhile; and disk errors in words."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from thalweg.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes its place, durably, else it is removed.

    Raises:
        OSError: as the operating system says it; `path` is then as before.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A fresh name in the same directory, so that a rename is atomic."""
    return path.with_name(f".writing-{secrets.token_hex(8)}{path.suffix}")


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's names, are on the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot open a directory, and orders its renames itself
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn an error of the operating system about `path` into a StorageError: one sentence, with what to do.

    Raises:
        StorageError: in place of any other OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(describe(path, error)) from error


def describe(path: Path, error: OSError) -> str:
    """The sentence for an error of the operating system."""
    if error.errno in _FULL:
        return f"The disk or quota that holds {path} is full, so nothing was changed; free space and run it again."
    if error.errno in _FORBIDDEN:
        return f"{path} cannot be written or read ({error.strerror}); choose another place or change its permissions."
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return f"{path} should be in a directory, but a file is in the way; choose another place."
    if error.errno == errno.EISDIR:
        return f"{path} is a directory, and a file was expected."
    if error.errno == errno.ENOENT:
        missing = path if path.parent.is_dir() else path.parent
        return f"{missing} does not exist; create it, or choose another place."
    return f"{path} cannot be written or read: {error.strerror or error}."
