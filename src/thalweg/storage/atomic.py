"""Files that are either as before or complete, whatever happens meanwhile; and disk errors in words."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from thalweg.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_STREAMS = (stat.S_IFCHR, stat.S_IFIFO)  # devices such as /dev/null, and pipes: written into
_LINKS = 40  # as many as the kernel follows


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path; on success it takes the place of `path`, durably, else it is removed.

    What is not a plain file keeps what it is: a symbolic link, the file behind it being replaced; a pipe, a device or
    an open stream (/dev/stdout), which is written into. A file that is replaced keeps its permissions.

    Raises:
        OSError: as the operating system says it, before anything is computed for a folder, or for a file that may not
            be written; `path` is then as before.
    """
    check_replaceable(path)
    if (stream := _stream(path)) is not None:
        with tempfile.TemporaryDirectory(prefix="thalweg-") as folder:
            temporary = Path(folder) / f"written{path.suffix}"
            yield temporary
            with temporary.open("rb") as source, stream() as target:
                shutil.copyfileobj(source, target)
        return
    path = _led_to(path)
    temporary = temporary_beside(path)
    try:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Find before the work whether `replacing` can put a file there; nothing is changed.

    Raises:
        OSError: it is a folder, a socket or a disk, or it may not be written, or its folder is missing.
    """
    if (kind := _kind(path)) == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind not in (None, stat.S_IFREG, *_STREAMS):
        raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
    if _descriptor(path) is not None:
        return
    if kind is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if kind not in _STREAMS:
        temporary = temporary_beside(_led_to(path))
        temporary.touch()
        temporary.unlink()


def _stream(path: Path) -> Callable[[], IO[bytes]] | None:
    """How to open what is written into as it is: a pipe, a device, a stream of this process; None: a plain file."""
    number = _descriptor(path)
    if number is not None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # one that is closed, or of no file
                stream.flush()
        return lambda: os.fdopen(os.dup(number), "wb")  # opened anew, a file would be written from its start
    return (lambda: path.open("wb")) if _kind(path) in _STREAMS else None


def _descriptor(path: Path) -> int | None:
    """The number of the open stream of this process that a path such as /dev/stdout names."""
    here = Path(os.path.abspath(path))
    for _ in range(_LINKS):
        if here.name.isdecimal() and os.path.realpath(here.parent) == f"/proc/{os.getpid()}/fd":
            return int(here.name)
        if not here.is_symlink():
            return None
        here = Path(os.path.abspath(here.parent / os.readlink(here)))
    return None


def _kind(path: Path) -> int | None:
    """What a path leads to, as `stat` names it; None where nothing is there."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _led_to(path: Path) -> Path:
    """Where a file's content is: behind symbolic links."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


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
