"""How figures look, decided once for both renderers: colors, dashes, markers, levels.

The colors are those of Okabe and Ito (2008), which readers with any color vision tell apart, less yellow
(too light on white) and black (kept for text and rules). Every series has its own dash, marker and hatch as
well, so that a grey print can be read. Grids use viridis and points cividis, both perceptually uniform.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.results.figure import Axis, Figure
from thalweg.results.marks import Bars, Contour, HeatMap, Line, Mark, Rule, Scatter, Surface

INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#d9d9d9"
GRID_MAP = "viridis"
POINT_MAP = "cividis"

FEW = 25  # a line of at most so many points shows each of them


@dataclass(frozen=True)
class Style:
    """The look of one series.

    Args:
        color: as #rrggbb.
        dash: lengths of strokes and gaps in line widths; () is solid.
        marker: its name in Plotly; `MARKERS` has Matplotlib's.
        hatch: the fill pattern, the same sign in both; "" is plain.
    """

    color: str
    dash: tuple[float, ...]
    marker: str
    hatch: str


MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "x": "X",
    "triangle-down": "v",
    "cross": "P",
}

SERIES = (
    Style("#0072B2", (), "circle", ""),
    Style("#D55E00", (5, 2), "square", "/"),
    Style("#009E73", (1.2, 1.6), "diamond", "\\"),
    Style("#CC79A7", (6, 2, 1.2, 2), "triangle-up", "x"),
    Style("#E69F00", (9, 2.5), "x", "-"),
    Style("#56B4E9", (3, 1.5), "triangle-down", "."),
    Style("#7F7F7F", (9, 2, 1.2, 2, 1.2, 2), "cross", "+"),
)

_PLAIN = (HeatMap, Contour, Surface, Rule)  # marks that take no color of the series


def styles(figure: Figure) -> list[list[Style]]:
    """The style of every mark of every panel: one label, one style, in all panels.

    Unlabelled marks take the first style their panel does not use.
    """
    # On a grid the first color, a blue, sinks into viridis: what is drawn there takes another.
    on_grid = [any(isinstance(mark, HeatMap) for mark in panel.marks) for panel in figure.parts]
    gridded = {mark.label for panel, grid in zip(figure.parts, on_grid, strict=True) if grid for mark in panel.marks}
    named: dict[str, int] = {}
    for panel in figure.parts:
        for mark in _series(panel):
            if mark.label and mark.label not in named:
                named[mark.label] = _free(set(named.values()), blue=mark.label not in gridded)
    result = []
    for panel, grid in zip(figure.parts, on_grid, strict=True):
        used = {named[mark.label] for mark in _series(panel) if mark.label}
        row = []
        for mark in panel.marks:
            if isinstance(mark, _PLAIN):
                row.append(SERIES[0])
                continue
            index = named[mark.label] if mark.label else _free(used, blue=not grid)
            used.add(index)
            row.append(_style(index))
        result.append(row)
    return result


def _free(used: set[int], *, blue: bool) -> int:
    """The first index that is not used."""
    return next(index for index in itertools.count() if index not in used and (blue or index % len(SERIES)))


def _style(index: int) -> Style:
    """Beyond the palette a color comes again, with another dash, marker and hatch."""
    around, color = divmod(index, len(SERIES))
    return dataclasses.replace(SERIES[(index + 3 * around) % len(SERIES)], color=SERIES[color].color)


def _series(panel: Figure) -> Iterator[Mark]:
    return (mark for mark in panel.marks if not isinstance(mark, _PLAIN))


def named_once(figure: Figure) -> list[list[bool]]:
    """For every mark of every panel, whether it is the one that stands for its label in the legend."""
    seen: set[str] = set()
    result = []
    for panel in figure.parts:
        row = []
        for mark in panel.marks:
            fresh = bool(mark.label) and not isinstance(mark, _PLAIN) and mark.label not in seen
            row.append(fresh)
            if fresh:
                seen.add(mark.label)
        result.append(row)
    return result


def drawable(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """Values as the axis can show them: what is infinite, or not positive on a log axis, is a gap."""
    shown = np.isfinite(values) & ((values > 0) | (axis.scale == "linear"))
    return np.where(shown, values, np.nan)


def band(line: Line, axis: Axis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of a line's band; on a log axis an end at or below zero is cut off below the curve."""
    low, high = np.asarray(line.low), np.asarray(line.high)
    if axis.scale == "log":
        positive = np.concatenate([values[np.isfinite(values) & (values > 0)] for values in (line.y, low, high)])
        floor = positive.min() if len(positive) else np.nan
        low = np.where((low <= 0) & (high > 0), floor, low)
    return drawable(low, axis), drawable(high, axis)


def levels(contour: Contour, axis: Axis) -> NDArray[np.float64]:
    """Where a contour's lines run: those given, or about eight round values (on a log axis, of the exponent)."""
    if contour.levels is not None:
        return contour.levels
    z = drawable(contour.z, axis)
    if not np.isfinite(z).any():
        return np.array([])
    z = np.log10(z) if axis.scale == "log" else z
    low, high = float(np.nanmin(z)), float(np.nanmax(z))
    if high <= low:
        return np.array([])
    rough = (high - low) / 8
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = min((m * magnitude for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    chosen = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step + 0.0  # no -0
    chosen = chosen[(chosen > low) & (chosen < high)]
    return 10.0**chosen if axis.scale == "log" else chosen


def decades(low: float, high: float) -> NDArray[np.float64]:
    """At most seven powers of ten, or failing two of them, 1-2-5 values, for a log color bar from low to high."""
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if last > first:
        return np.power(10.0, np.arange(first, last + 1, max(1, (last - first) // 6)), dtype=np.float64)
    fine = np.outer(10.0 ** np.arange(first - 1, last + 2), [1, 2, 5]).ravel()
    return fine[(fine >= low) & (fine <= high)]


def power(value: float, up: str, down: str) -> str:
    """A number as at a logarithmic axis, with the marks that set an exponent: 10<sup>-3</sup>, 200, 5."""
    mantissa, exponent = f"{value:.0e}".split("e")
    if abs(int(exponent)) < 3:
        return f"{value:.3g}"
    raised = f"10{up}{int(exponent)}{down}".replace("-", "\N{MINUS SIGN}")
    return raised if mantissa == "1" else f"{mantissa}\N{MIDDLE DOT}{raised}"


def categories(panel: Figure) -> list[str]:
    """The labels of all Bars of a panel, in order of appearance."""
    return list(dict.fromkeys(label for mark in panel.marks if isinstance(mark, Bars) for label in mark.labels))


def colors_by_value(mark: Mark) -> bool:
    """Whether the mark needs a color bar."""
    return isinstance(mark, HeatMap | Surface) or (isinstance(mark, Scatter) and mark.color is not None)
