"""The README's Python, run as it stands there, with what every statement prints and what the README says it prints."""

import ast
import contextlib
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
_MEASURED = re.compile(r"-?\d+\.\d+(?:e-?\d+)?|\d{1,3},\d{3}|\d{3,}")  # decimals, and counts that are not small


@dataclass(frozen=True)
class Printed:
    """A statement, what it printed, and the comment below it that says so."""

    source: str
    output: str
    said: str


def run(namespace: dict[str, Any]) -> Iterator[Printed]:
    """Every statement that printed, of every block."""
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL):
        lines = block.splitlines()
        for statement in ast.parse(block).body:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(ast.Module([statement], []), "README.md", "exec"), namespace)
            below = itertools.takewhile(lambda line: line.startswith("# "), lines[statement.end_lineno :])
            said = [line.removeprefix("# ") for line in below]
            if output.getvalue():
                yield Printed(ast.unparse(statement), output.getvalue().rstrip("\n"), "\n".join(said))


def agree(output: str, said: str, *, share: float = 0.25) -> bool:
    """Whether two texts are the same but for measured numbers, which differ by at most a share between processors."""
    found = [[float(number.replace(",", "")) for number in _MEASURED.findall(text)] for text in (output, said)]
    if len(found[0]) != len(found[1]) or _MEASURED.sub("#", output).split() != _MEASURED.sub("#", said).split():
        return False
    return all(abs(a - b) <= share * max(abs(a), abs(b)) + 0.02 for a, b in zip(*found, strict=True))
