"""Figures as Matplotlib's: vectors for papers, in the same colors, dashes and levels as on the page."""

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from thalweg.figures.limits import color_ends, extent, limits, valued
from thalweg.figures.marks import Contour, HeatMap
from thalweg.figures.panel import Axis, Panel, is_single
from thalweg.figures.style import (
    GRID,
    HANDLE,
    INK,
    LETTER,
    MUTED,
    Style,
    categories,
    legend_columns,
    named_once,
    spatial,
    styles,
)
from thalweg.figures.ticks import counts, decades, log_labels, written_between
from thalweg.figures.to_matplotlib.marks import MATH, draw, plain
from thalweg.figures.to_matplotlib.space import space

_WIDTH, _HEIGHT = 5.2, 3.5  # inches of one panel: the text width of a page, in which 10 pt letters stay 10 pt
_BESIDE, _ROW = 4.0, 2  # inches of each panel where there are several, and how many stand in a row
_LETTERS = 10.5  # of a title, an inch: fewer than fit, since it begins where the axes do
_LINE = 0.18  # inches that each line of a legend, or a further one of a title, adds to the height

_LOOK = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a figure looks the same everywhere
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "figure.titlesize": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "hatch.color": "#ffffff",
    "pdf.fonttype": 42,  # letters as letters, which journals ask for
    "svg.fonttype": "path",
    "svg.hashsalt": "thalweg",  # the same figure gives the same bytes
    "axes.unicode_minus": True,
}


# All else is Matplotlib's default: what a user has set for other figures would change ours.
_SETTINGS = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"} | _LOOK


def look() -> AbstractContextManager[None]:
    """Matplotlib's settings for one of our figures; the user's own are back afterwards."""
    return mpl.rc_context(_SETTINGS)


def render(panels: Sequence[Panel], title: str) -> Canvas:
    """A figure in Matplotlib, outside pyplot's list of open figures; at most two panels stand in a row."""
    columns = min(len(panels), _ROW)
    rows = -(-len(panels) // columns)
    width = _WIDTH if len(panels) == 1 else _BESIDE
    titles = [_title(panel.title, width) for panel in panels]
    with look():
        canvas = Canvas(layout="constrained")
        handles: dict[str, Any] = {}
        for index, panel in enumerate(panels):
            place = rows, columns, index + 1
            if spatial(panel):
                axes = space(canvas, place, panel)
            else:
                axes = canvas.add_subplot(*place)
                _panel(axes, panel, styles(panels)[index], named_once(panels)[index], handles)
            axes.set_title(titles[index], loc="left")
        above = "" if is_single(panels, title) else _title(title, width * columns)
        if above:
            canvas.suptitle(above, x=0.01, ha="left")
        lines = above.count("\n") + rows * max(each.count("\n") for each in titles)
        lines += _legend(canvas, handles, width * columns) if handles else 0
        canvas.set_size_inches(width * columns, _HEIGHT * rows + _LINE * lines)
    return canvas


def save(panels: Sequence[Panel], title: str, to: Path | IO[bytes], kind: str, *, description: str) -> None:
    """Write a ".pdf", ".svg" or ".png"; the same figure gives the same bytes."""
    metadata = {
        ".pdf": {"Title": title, "Subject": description, "CreationDate": None},
        ".svg": {"Title": title, "Description": description, "Date": None},
        ".png": {"Title": title, "Description": description},
    }[kind]
    with look():
        # Viewers show a transparent PNG on black; in a document the page's ground should show.
        render(panels, title).savefig(
            to, format=kind.removeprefix("."), dpi=200, metadata=metadata, transparent=kind != ".png"
        )


def _panel(axes: Axes, panel: Panel, looks: list[Style], named: list[bool], handles: dict[str, Any]) -> None:
    _scales(axes, panel)
    log = panel.z is not None and panel.z.scale == "log"
    norm = (LogNorm if log else Normalize)(*color_ends(panel))
    shaded = None
    for level, (mark, style, fresh) in enumerate(zip(panel.marks, looks, named, strict=True)):
        drawn = draw(axes, mark, panel, style, norm, zorder=2 + level / 10)
        shaded = shaded if valued(mark) is None else drawn
        if fresh:
            handles[mark.label] = drawn
    if not any(isinstance(mark, HeatMap | Contour) for mark in panel.marks):
        axes.grid(visible=True, axis="y" if categories(panel) else "both")
    if shaded is not None:
        bar = axes.figure.colorbar(shaded, ax=axes, label=plain((panel.z or Axis()).text), fraction=0.05, pad=0.02)
        if log:
            ticks = decades(*color_ends(panel))
            bar.set_ticks(ticks.tolist(), labels=log_labels(ticks, *MATH), minor=False)
            bar.minorticks_off()
    axes.set_xlabel(plain(panel.x.text))
    axes.set_ylabel(plain(panel.y.text))


def _scales(axes: Axes, panel: Panel) -> None:
    names = categories(panel)
    if names:
        axes.set_xticks(range(len(names)), [plain(name) for name in names])
        if sum(map(len, names)) > 40:
            axes.tick_params("x", rotation=30)
            for tick in axes.get_xticklabels():
                tick.set_horizontalalignment("right")
    else:
        axes.set_xscale(panel.x.scale)
    axes.set_yscale(panel.y.scale)
    _few_decades(axes.xaxis, panel.x, extent(panel, "x"))
    _few_decades(axes.yaxis, panel.y, extent(panel, "y"))
    _numbered(axes, panel)
    if panel.x.names and not names:
        axes.set_xticks(range(len(panel.x.names)), [plain(name) for name in panel.x.names])
    if panel.y.names:
        axes.set_yticks(range(len(panel.y.names)), [plain(name) for name in panel.y.names])
    if panel.x.limits is not None:
        axes.set_xlim(panel.x.limits)
    if limits(panel) is not None:
        axes.set_ylim(limits(panel))


def _few_decades(axis: Any, of: Axis, shown: tuple[float, float] | None) -> None:
    """Plain numbers beside a log axis that shows less than two powers of ten; Matplotlib's run into each other."""
    ends = of.limits or shown
    if of.scale == "log" and ends is not None and ends[0] > 0 and ends[1] < 100 * ends[0]:
        write = FuncFormatter(lambda value, _: written_between(value, ends, *MATH))
        axis.set_major_formatter(write)
        axis.set_minor_formatter(write)


def _numbered(axes: Axes, panel: Panel) -> None:
    """A tick for each row and column of a small map of things that are counted."""
    for mark in panel.marks:
        if isinstance(mark, HeatMap):
            for centers, put in ((mark.x, axes.set_xticks), (mark.y, axes.set_yticks)):
                if counts(centers):
                    put(centers.tolist())


def _title(text: str, width: float) -> str:
    """A title in lines no longer than a panel of this width, in inches."""
    return "\n".join(textwrap.wrap(plain(text), int(_LETTERS * width)))


def _legend(canvas: Canvas, handles: dict[str, Any], width: float) -> int:
    """A legend below everything, in as many columns as fit into the width, in inches; how many lines it takes."""
    wide = width * 72 / 9  # in the font's size
    letters = int((wide - HANDLE) / LETTER)
    labels = ["\n".join(textwrap.wrap(plain(label), letters)) for label in handles]
    columns = legend_columns(labels, wide)
    canvas.legend(
        list(handles.values()), labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2
    )
    return -(-sum(label.count("\n") + 1 for label in labels) // columns)
