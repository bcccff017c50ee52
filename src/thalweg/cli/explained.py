"""What tyro prints on its own: caught as for the stream it is meant for, and wrapped where tyro does not."""

import io
import os
import shutil
import textwrap
from typing import TextIO


class Captured(io.StringIO):
    """A buffer in the place of a stream, with its letters, and with its colors unless NO_COLOR forbids them.

    Args:
        stream: what the text is for.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return (self._stream.encoding or "utf-8").lower()

    def isatty(self) -> bool:
        """Whether to color."""
        return self._stream.isatty() and not os.environ.get("NO_COLOR")


def wrapped(text: str) -> str:
    """Help with its descriptions as wide as its boxes, which are as wide as the terminal."""
    columns = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(line, columns, subsequent_indent="       " if line.startswith("usage:") else "")
        if len(line) > columns and _is_prose(line)
        else line
        for line in text.split("\n")
    )


def _is_prose(line: str) -> bool:
    """Whether a line is neither a part of a box nor colored."""
    return line[:1].isalpha() and "\x1b" not in line
