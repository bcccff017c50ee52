"""What goes to the user: results to stdout, everything else to stderr; a reader that went away is no error."""

import errno
import io
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from thalweg.errors import StorageError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from thalweg.claims import Finding, Judgment, Outcome, Verdict

JsonTarget = Annotated[str | None, tyro.conf.arg(metavar="FILE|-")]
StoreFolder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]

_STYLES = {"holds": "bold blue", "fails": "bold red", "undecided": "bold"}
_STREAMS = (stat.S_IFCHR, stat.S_IFIFO)  # devices such as /dev/null, and pipes: written into
_WIDE = 150  # columns of a table that no terminal limits


def say(text: str = "") -> None:
    """A result, to stdout.

    Raises:
        StorageError: stdout is a file on a disk that is full, or cannot be written for another reason.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        reader_left()
    except UnicodeEncodeError:
        print(text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding), flush=True)
    except OSError as error:
        reader_left()  # or Python would try once more as it ends
        msg = f"What should go to stdout cannot be written: {error.strerror}; send it elsewhere."
        raise StorageError(msg) from error


def note(text: str) -> None:
    """Anything else, to stderr."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


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
        say(text)
        return
    from thalweg.storage.atomic import explaining, replacing

    path = Path(target)
    with explaining(path):
        if _kind(path) in _STREAMS:  # a file that took its place by renaming would be the end of /dev/null
            path.write_text(f"{text}\n", encoding="utf-8")
            return
        with replacing(_led_to(path)) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def check_json(target: str | None) -> None:
    """Before the work: whether its result can be written there.

    Raises:
        UsageError: it is a folder, or something else that is neither a file nor takes a stream.
        StorageError: the folder of the file does not exist or cannot be written to.
    """
    if target is None or target == "-":
        return
    from thalweg.storage.atomic import explaining, temporary_beside

    path = Path(target)
    if path.is_dir():
        msg = f"--json {path} is a folder; name a file in it, such as {path / 'result.json'}."
        raise UsageError(msg)
    with explaining(path):
        kind = _kind(path)
        if kind in _STREAMS:
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if kind not in (None, stat.S_IFREG):
            msg = f"--json {path} is neither a file nor a pipe; name a file, such as result.json, or - for stdout."
            raise UsageError(msg)
        temporary = temporary_beside(_led_to(path))
        temporary.touch()
        temporary.unlink()


def _kind(path: Path) -> int | None:
    """What a path leads to, as `stat` names it; None where nothing is there."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _led_to(path: Path) -> Path:
    """Where a file's content is: behind symbolic links."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def as_json(document: Any) -> str:
    """A document as strict JSON text."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)


def table(names: Sequence[str], rows: Iterable[Sequence[str]], *, verdict: int | None = None) -> None:
    """Rows as a table on stdout, as wide as the terminal.

    Args:
        names: of the columns.
        rows: cells, as text.
        verdict: the column whose cells are verdicts, a sign and a word and maybe more, shown in color.
    """
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE, pad_edge=False, header_style="bold")
    for name in names:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in row]
        if verdict is not None:
            word = row[verdict].split()[1]
            cells[verdict] = Text(row[verdict], style=_STYLES[word.rstrip(":")], no_wrap=True)
        drawn.add_row(*cells)
    say(_rendered(drawn))


def verdicts(findings: Iterable["Finding"]) -> None:
    """The table of verdicts."""
    rows = [row for finding in findings for row in _rows(finding.verdict)]
    table(("claim", "statement", "verdict", "estimate [95 % interval]", "unit", "n"), rows, verdict=2)


def _rows(verdict: "Verdict") -> list[tuple[str, ...]]:
    """The claim with its verdict and what its budget lacked, and below it its parts and the lecture's own wording."""
    claim = verdict.claim.id
    rows = [_row(claim, verdict.outcome, verdict.statement, verdict.shortfall)]
    rows += [_row(f"{claim} {each.part.id}", each.outcome, each) for each in verdict.parts]
    if verdict.lecture is not None:
        rows.append(_row(f"{claim} lecture", verdict.lecture.outcome, verdict.lecture))
    return rows


def _row(name: str, outcome: "Outcome", judgment: "Judgment", shortfall: str = "") -> tuple[str, ...]:
    from thalweg.claims import SYMBOLS

    part, interval = judgment.part, judgment.interval
    word = f"{SYMBOLS[outcome]} {outcome}" + (f":\n{shortfall}" if shortfall else "")
    return name, part.statement, word, str(interval), part.unit, str(interval.n)


def _rendered(drawn: "Table") -> str:
    """A table as text, with colors only where a terminal shows them."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = None if terminal else _WIDE
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=width or Console().width)
    console.print(drawn)
    lines = written.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")
