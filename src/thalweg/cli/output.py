"""What goes to the user: results to stdout, everything else to stderr; a reader that went away is no error."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import tyro

from thalweg.errors import StorageError, UsageError

JsonTarget = Annotated[str | None, tyro.conf.arg(metavar="FILE|-", help_behavior_hint="")]
StoreFolder = Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")]

_COLORS = r"\x1b\[[0-9;]*m"  # which our own tables have
_COMMANDS = re.compile(rf"(?!{_COLORS})[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN = str.maketrans("✓✗•─│╭╮╰╯", "+x*-|++++")  # for streams that have no such letters


def open_closed() -> None:
    """Give the process streams where it was started without (`>&-`): print would write to the wrong one, or fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (until the process ends)


def say(text: str = "") -> None:
    """A result, to stdout.

    Raises:
        StorageError: stdout is a file on a disk that is full, or cannot be written for another reason.
    """
    try:
        print(_writable(text, sys.stdout), flush=True)
    except BrokenPipeError:
        reader_left()
    except OSError as error:
        reader_left()  # or Python would try once more as it ends
        msg = f"What should go to stdout cannot be written: {error.strerror}; send it elsewhere."
        raise StorageError(msg) from error


def note(text: str) -> None:
    """Anything else, to stderr; where that cannot be written, the work goes on without."""
    try:
        print(_writable(text, sys.stderr), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def moment(iso: str) -> str:
    """A time of the store for a person, to the second."""
    return f"{iso[:19].replace('T', ' ')} UTC"


def _writable(text: str, stream: TextIO) -> str:
    """The text in letters that a stream has; what would command a terminal, as names may, is written as its code."""
    text = _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def reader_left() -> None:
    """Nobody reads stdout any more (`| head`): go on, and drop what would be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(target: str, text: str) -> None:
    """JSON to a file, whole or not at all, or to stdout for "-".

    A symbolic link stays one: the file that it leads to is written. A device or a pipe stays too, and is written into.

    Raises:
        StorageError: the file cannot be written.
    """
    if target == "-":
        # Escaped where stdout lacks a letter: replaced, it would be another document.
        say(text if _writable(text, sys.stdout) == text else json.dumps(json.loads(text), indent=1, allow_nan=False))
        return
    from thalweg.storage.atomic import explaining, replacing

    path = Path(target)
    with explaining(path), replacing(path) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")


def check_json(target: str | None) -> None:
    """Before the work: whether its result can be written there.

    Raises:
        UsageError: it is a folder, is in none that exists, or is something else that is neither a file nor takes a
            stream.
        StorageError: the folder of the file cannot be written to.
    """
    if target is None or target == "-":
        return
    from thalweg.storage.atomic import check_replaceable, explaining

    path = Path(target)
    if path.is_dir():
        msg = f"--json {path} is a folder; name a file in it, such as {path / 'result.json'}."
        raise UsageError(msg)
    if path.exists() and not (path.is_file() or path.is_fifo() or path.is_char_device()):
        msg = f"--json {path} is neither a file nor a pipe; name a file, such as result.json, or - for stdout."
        raise UsageError(msg)
    if not path.is_symlink() and not path.parent.exists():
        msg = f"--json {path} is in a folder that does not exist; make {path.parent}, or name another file."
        raise UsageError(msg)
    with explaining(path):
        check_replaceable(path)


def as_json(document: Any) -> str:
    """A document as strict JSON text."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
