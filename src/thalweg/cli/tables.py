"""Rows on stdout: a table where there is room for one, a list of blocks where there is not."""

import io
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from thalweg.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thalweg.claims import Finding, Judgment, Verdict

_STYLES = {"holds": "bold blue", "fails": "bold red", "undecided": "bold"}
_WIDE = 150  # columns of a table that no terminal limits
_NARROWEST = 40  # columns below which nothing is legible
_CELL = 30  # columns that a cell must have, or all that it needs, in a table
_APART = 3  # columns between cells
_OUTCOME = len("? undecided:")  # columns that a verdict must have
_LINE = 100  # columns of running text


def width() -> int:
    """Columns to write in: COLUMNS, else those of the terminal; where there is none, as many as a table needs."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return max(int(told), _NARROWEST)
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, _NARROWEST)
    except (OSError, ValueError):
        return _WIDE


def paragraph(text: str, first: str = "", rest: str = "") -> str:
    """Running text in lines, the first of which begins with `first` and all others with `rest`."""
    columns = min(width(), _LINE)
    return textwrap.fill(
        text, columns, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )


def table(names: Sequence[str], rows: Iterable[Sequence[str]], *, verdict: int | None = None) -> None:
    """Rows as a table on stdout, or each as a block below its first cell where the table would be too narrow to read.

    Args:
        names: of the columns.
        rows: cells, as text.
        verdict: the column whose cells are verdicts, a sign, a word and perhaps a reason, shown in color.
    """
    rows = list(rows)
    needed = [max(len(cell) for cell in column) for column in zip(names, *rows, strict=True)]
    if sum(min(cell, _CELL) + _APART for cell in needed) <= width():
        output.say(_rendered(_table(names, rows, verdict)))
    else:
        output.say("\n".join(_block(names, row, verdict) for row in rows))


def verdicts(findings: Iterable["Finding"]) -> None:
    """The table of verdicts; below each claim its parts and the lecture's own wording, where they are judged."""
    from thalweg.claims import close_calls

    shown = [finding.verdict for finding in findings]
    rows: list[Sequence[str]] = []
    for verdict in shown:
        rows.append(_row(verdict.claim.id, verdict.claim.statement, verdict.own, verdict))
        beside = verdict.parts if verdict.lecture is None else (*verdict.parts, verdict.lecture)
        rows += [_row(f"- {one.part.id}", one.part.statement, one, one) for one in beside]
    table(("claim", "statement", "verdict", "estimate [95 % interval]", "unit", "n"), rows, verdict=2)
    near = ", ".join(dict.fromkeys(verdict.claim.id for verdict in close_calls(shown)))
    if near:
        output.say(paragraph(f"Close calls, which other seeds or another machine may flip: {near}.", "", "  "))


def _row(name: str, statement: str, judgment: "Judgment", called: "Judgment | Verdict") -> Sequence[str]:
    from thalweg.claims import SYMBOLS

    interval = judgment.interval
    words = f"{SYMBOLS[called.outcome]} {called.words}"
    return (name, statement, words, str(interval), judgment.part.unit, str(interval.n))


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], verdict: int | None) -> "RenderableType":
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE, pad_edge=False, header_style="bold")
    for number, name in enumerate(names):
        drawn.add_column(name, overflow="fold", min_width=_OUTCOME if number == verdict else None)
    for row in rows:
        cells = [Text(cell) for cell in row]
        if verdict is not None:
            cells[verdict] = Text(row[verdict], style=_style(row[verdict]))
        drawn.add_row(*cells)
    return drawn


def _block(names: Sequence[str], row: Sequence[str], verdict: int | None) -> str:
    """One row: its first cell, and below it the others by the names of their columns."""
    from rich.text import Text

    lines = [f"{names[0]}: {row[0]}"]
    for i, (name, cell) in enumerate(zip(names[1:], row[1:], strict=True), start=1):
        line = paragraph(f"{name}: {cell}", "  ", "    ")
        style = _style(cell) if i == verdict else ""
        lines.append(_rendered(Text(line, style=style, no_wrap=True)) if style else line)
    return "\n".join(lines)


def _style(verdict: str) -> str:
    """Of a verdict in words, such as "✗ fails: too small to matter"."""
    return _STYLES[verdict.split()[1].rstrip(":")]


def _rendered(drawn: "RenderableType") -> str:
    """What rich draws as text, with colors only where a terminal shows them."""
    from rich.console import Console

    written = io.StringIO()
    console = Console(file=written, force_terminal=sys.stdout.isatty(), width=width())
    console.print(drawn)
    # Not splitlines(): a cell may hold one of the rarer line ends.
    return "\n".join(line.rstrip() for line in written.getvalue().split("\n")).strip("\n")
