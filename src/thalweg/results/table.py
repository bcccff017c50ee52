"""A tidy table: equally long named columns, printed aligned, written as CSV."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.markup import element, text

_SIDE = {True: "text-align:right", False: "text-align:left"}  # of numbers, and of all else
_SHOWN = 20  # rows printed before the middle is left out


class Table:
    r"""Named columns of equal length.

    Args:
        columns: by name, in the order in which they are shown: (rows,) each. None is an empty cell.

    Raises:
        UsageError: a column is not one-dimensional, or lengths differ.

    Example:
        >>> import thalweg as tw
        >>> table = tw.results.Table({"rule": ["SGD", "Adam"], "loss": [0.5, 0.25]})
        >>> table
        rule  loss
        SGD    0.5
        Adam  0.25
        >>> table.csv()
        'rule,loss\nSGD,0.5\nAdam,0.25\n'
    """

    def __init__(self, columns: Mapping[str, ArrayLike]) -> None:
        self.columns: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in columns.items()}
        shapes = {name: values.shape for name, values in self.columns.items()}
        if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
            msg = f"A table needs one-dimensional columns of one length, and got shapes {shapes}."
            raise UsageError(msg)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Every row as plain Python values, in the order of the columns."""
        return list(zip(*(values.tolist() for values in self.columns.values()), strict=True))

    def csv(self) -> str:
        """The whole table as comma-separated values, floats in full precision, empty cells for None."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    def __str__(self) -> str:
        count = len(self)
        chosen = list(range(count))
        if count > _SHOWN:
            chosen = [*range(_SHOWN // 2), *range(count - _SHOWN // 2, count)]
        lines: list[list[str]] = []
        for name, values in self.columns.items():
            cells = [name, *(_cell(values[row : row + 1].tolist()[0]) for row in chosen)]
            width = max(map(len, cells))
            numeric = values.dtype.kind in "iuf"
            lines.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in cells])
        printed = ["  ".join(row).rstrip() for row in zip(*lines, strict=True)]
        if count > _SHOWN:
            printed.insert(1 + _SHOWN // 2, f"... {count - _SHOWN:,} more rows ...")
        return "\n".join(printed)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        count, half = len(self), _SHOWN // 2
        rows = self.rows
        shown = rows if count <= _SHOWN else [*rows[:half], *rows[-half:]]
        numeric = [values.dtype.kind in "iuf" for values in self.columns.values()]
        lines = [element("tr", *(_html_cell(*pair) for pair in zip(row, numeric, strict=True))) for row in shown]
        if count > _SHOWN:
            left_out = f"... {count - _SHOWN:,} more rows ..."
            lines.insert(half, element("tr", element("td", left_out, colspan=str(len(self.columns)))))
        sides = [_SIDE[right] for right in numeric]
        names = (element("th", text(name), style=side) for name, side in zip(self.columns, sides, strict=True))
        return element("table", element("thead", element("tr", *names)), element("tbody", *lines))


def _html_cell(value: Any, numeric: bool) -> str:
    return element("td", text(_cell(value)), style=_SIDE[numeric])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return str(value)
