"""How figures look, decided once for both renderers: colors, dashes, markers, hatches.

The colors are those of Okabe and Ito (2008), which readers with any color vision tell apart, less yellow (the
lightest, 1.3 : 1 against white) and black (kept for text and rules). Every series has its own dash, marker and hatch as
well, so that a grey print can be read. Grids use viridis and points cividis, both perceptually uniform.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thalweg.figures.marks import Bars, Contour, HeatMap, Line, Mark, ReferenceLine, SurfacePlot
from thalweg.figures.panel import Panel

INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#d9d9d9"
VEIL = "rgba(255,255,255,0.7)"  # behind words on marks
GRID_MAP = "viridis"
POINT_MAP = "cividis"

LETTER, HANDLE = 0.6, 6.0  # of a font's size: how wide a letter is, and what stands before a label in a legend
FEW = 25  # a line of at most as many points shows each of them
THIN, FAINT = 0.5, 0.6  # how wide a thin line is, by others, and how opaque


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

BEHIND = Style(MUTED, (), "circle", "")  # of thin lines without a label

_PLAIN = (HeatMap, Contour, SurfacePlot, ReferenceLine)  # marks that take no color of the series


def styles(panels: Sequence[Panel]) -> list[list[Style]]:
    """The style of every mark of every panel: one label, one style, in all panels.

    Unlabelled marks take the first style their panel does not use, and thin lines among them are grey.
    """
    # On a grid the first color, a blue, sinks into viridis: what is drawn there takes another.
    on_grid = [on_map(panel) for panel in panels]
    gridded = {mark.label for panel, grid in zip(panels, on_grid, strict=True) if grid for mark in panel.marks}
    named: dict[str, int] = {}
    for panel in panels:
        for mark in _series(panel):
            if mark.label and mark.label not in named:
                named[mark.label] = _free(set(named.values()), blue=mark.label not in gridded)
    result = []
    for panel, grid in zip(panels, on_grid, strict=True):
        used = {named[mark.label] for mark in _series(panel) if mark.label}
        row = []
        for mark in panel.marks:
            if isinstance(mark, _PLAIN):
                row.append(SERIES[0])
                continue
            if isinstance(mark, Line) and mark.thin and not mark.label:
                row.append(BEHIND)
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


def _series(panel: Panel) -> Iterator[Mark]:
    return (mark for mark in panel.marks if not isinstance(mark, _PLAIN))


def named_once(panels: Sequence[Panel]) -> list[list[bool]]:
    """For every mark of every panel, whether it is the one that stands for its label in the legend."""
    seen: set[str] = set()
    result = []
    for panel in panels:
        row = []
        for mark in panel.marks:
            fresh = bool(mark.label) and not isinstance(mark, _PLAIN) and mark.label not in seen
            row.append(fresh)
            if fresh:
                seen.add(mark.label)
        result.append(row)
    return result


def categories(panel: Panel) -> list[str]:
    """The labels of all Bars of a panel, in order of appearance."""
    return list(dict.fromkeys(label for mark in panel.marks if isinstance(mark, Bars) for label in mark.labels))


def legend_labels(panels: Sequence[Panel]) -> list[str]:
    """What the legend lists."""
    named = zip(panels, named_once(panels), strict=True)
    return [mark.label for panel, row in named for mark, fresh in zip(panel.marks, row, strict=True) if fresh]


def legend_columns(labels: list[str], width: float) -> int:
    """How many labels stand beside each other in a legend of this width, in sizes of its font."""
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    return max(1, min(len(labels), int(width / (HANDLE + LETTER * longest))))


def on_map(panel: Panel) -> bool:
    """Whether there is a heat map, on which strokes need a light edge."""
    return any(isinstance(mark, HeatMap) for mark in panel.marks)


def spatial(panel: Panel) -> bool:
    """Whether a panel is drawn in three dimensions."""
    return any(isinstance(mark, SurfacePlot) for mark in panel.marks)


def color_map(panel: Panel) -> str:
    """The map of a panel's color scale: one for grids, which points on a grid share, and one for points."""
    return GRID_MAP if on_map(panel) or spatial(panel) else POINT_MAP
