"""Figures as Plotly's: interactive, as wide as their page, on a transparent ground, nothing fetched."""

import html
import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from thalweg.errors import UsageError
from thalweg.figures.limits import valued
from thalweg.figures.marks import ReferenceLine
from thalweg.figures.panel import Panel, is_single
from thalweg.figures.style import INK, VEIL, legend_columns, legend_labels, named_once, spatial, styles
from thalweg.figures.to_plotly.axes import Names, Place, axes, color_bar, rule, scene
from thalweg.figures.to_plotly.traces import Moment, Trace, draw, escaped, moments

# For Plotly.newPlot, .show() and .to_html() (a copy: they change it). Plotly's default has a button that uploads
# the chart; nothing here does.
CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetCameraLastSave3d"],
}

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_FONT_SIZE = 13  # pixels
_WIDE = 700  # pixels of a legend on a page
_SLIDER = 44  # pixels above the panels' titles
_ROW = 400  # pixels of height per row of panels
_GAPS = 0.6  # of the width, at most, between panels
_BETWEEN = 110  # of it, between two rows
_PLOT, _BAR = 270, 90  # pixels of width that a panel needs with its labels, and its color bar besides
_LETTERS = 40  # of a title in one line: as many as a phone is wide
_PAGE = 112  # letters of a panel's title in a row of panels as wide as a page


def render(panels: Sequence[Panel], title: str, *, columns: int | None = None) -> go.Figure:
    """A figure in Plotly.

    Args:
        panels: what to draw.
        title: over all of them.
        columns: panels side by side; all of them when not given. A narrow page wants 1.

    Raises:
        UsageError: fewer than one column.
    """
    if columns is not None and columns < 1:
        msg = f"A figure has at least one column of panels, not {columns}."
        raise UsageError(msg)
    columns = min(columns or len(panels), len(panels))
    places = _places(panels, columns)
    single = is_single(panels, title)
    headings = ["" if single else _wrapped(panel.title, min(_LETTERS, _PAGE // columns)) for panel in panels]
    layout = _frame(panels, title, rows=-(-len(panels) // columns), lines=max(map(_lines, headings[:columns])))
    traces: list[Trace] = []
    for index, (panel, place) in enumerate(zip(panels, places, strict=True)):
        names = Names(index)
        layout |= scene(panel, place, names) if spatial(panel) else axes(panel, place, names)
        if headings[index]:
            layout["annotations"].append(_heading(headings[index], place))
        legend = named_once(panels)[index]
        for mark, style, named in zip(panel.marks, styles(panels)[index], legend, strict=True):
            if isinstance(mark, ReferenceLine):
                rule(mark, panel, names, layout, traces)
                continue
            drawn = draw(mark, panel, style, named)
            where = {"scene": names.scene} if spatial(panel) else {"xaxis": names.x, "yaxis": names.y}
            traces += [trace | where for trace in drawn]
        layout |= color_bar(panel, place, traces, names)
    moving = moments(traces)
    if moving:
        layout["sliders"] = [_slider(moving)]
        layout["margin"]["t"] += _SLIDER
    return go.Figure(data=traces, layout=layout)


def page(panels: Sequence[Panel], title: str, *, caption: str, description: str) -> str:
    """A self-contained HTML page with the figure and its caption."""
    drawn = render(panels, title)
    drawing = drawn.to_html(include_plotlyjs=True, full_html=False, auto_play=False, config=dict(CONFIG))
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title or 'Figure')}</title><style>body{{margin:1rem;font-family:{FONT};color:{INK}}}"
        "figure{margin:0 auto;max-width:75rem}figcaption{max-width:45rem;margin:.5rem auto;line-height:1.45}</style>"
        f'</head><body><figure><div role="img" aria-label="{html.escape(description)}">{drawing}</div>'
        f"{below}</figure></body></html>\n"
    )


def least_width(panels: Sequence[Panel], columns: int) -> int:
    """Pixels from which on as many panels as there are columns fit side by side, each with its labels and color bar."""
    needed = [_PLOT + _BAR * _barred(panel) for panel in panels]
    return max(sum(needed[start : start + columns]) for start in range(0, len(needed), columns))


def _barred(panel: Panel) -> bool:
    return any(valued(mark) is not None for mark in panel.marks)


def _places(panels: Sequence[Panel], columns: int) -> list[Place]:
    """Where every panel is, all of one size; between them is room for the labels, titles and color bars there."""
    rows = -(-len(panels) // columns)
    # The outer margins grow with their tick labels; between panels the room has to be left here.
    gaps = []
    for column in range(1, columns):
        bar = any(map(_barred, panels[column - 1 :: columns]))
        flat = any(not spatial(panel) for panel in panels[column::columns])
        gaps.append(0.02 + 0.15 * bar + 0.08 * flat)
    crowded = min(1.0, _GAPS / sum(gaps)) if gaps else 1.0
    gaps = [gap * crowded for gap in gaps]
    width = (1 - sum(gaps)) / columns
    below = _BETWEEN / (_ROW * rows)
    height = (1 - below * (rows - 1)) / rows
    places = []
    for index in range(len(panels)):
        row, column = divmod(index, columns)
        left = column * width + sum(gaps[:column])
        right = left + width if column < columns - 1 else 1.0
        top = 1 - row * (height + below)
        places.append((left, right, max(top - height, 0.0), top))
    return places


def _wrapped(title: str, letters: int) -> str:
    return "<br>".join(map(escaped, textwrap.wrap(title, letters)))


def _lines(wrapped: str) -> int:
    return wrapped.count("<br>") + 1 if wrapped else 0


def _frame(panels: Sequence[Panel], title: str, *, rows: int, lines: int) -> dict[str, Any]:
    """What all panels share; `lines` of their titles are above the first row."""
    title = _wrapped(title, _LETTERS)
    above = _lines(title)
    labels = legend_labels(panels)
    legend = -(-len(labels) // legend_columns(labels, _WIDE / _FONT_SIZE))  # lines
    top = 12 + (10 + 21 * above if above else 0) + (4 + 18 * lines if lines else 0)
    return {
        "template": "none",
        "autosize": True,
        "height": _ROW * rows + 40 + 20 * max(1, legend),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": _FONT_SIZE, "color": INK},
        "title": {
            "text": title, "font": {"size": 16},
            "xref": "container", "x": 0, "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top",
            "pad": {"l": 8, "t": 10 + 12 * max(0, above - 1)},
        },
        "margin": {"l": 16, "r": 16, "t": top, "b": 16},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#a0a0a0", "activecolor": INK},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemwidth": 40},
        "hoverlabel": {"font": {"size": 13}},
        "barmode": "group",
        "bargap": 0.3,
        "annotations": [],
        "shapes": [],
    }  # fmt: skip


def _slider(moving: list[Moment]) -> dict[str, Any]:
    """What moves the dots of trajectories along their ways.

    Plotly's frames would play them, but draw the traces of a frame alone and take heat maps and contours away.
    """
    steps = [
        {
            "label": str(moment.time),
            "method": "restyle",
            "args": [{"x": moment.x, "y": moment.y}, moment.traces],
        }
        for moment in moving
    ]
    place = {"x": 0, "xanchor": "left", "len": 1, "y": 1, "yanchor": "bottom", "pad": {"b": 22, "t": 0}}
    value = {"prefix": "point ", "xanchor": "left", "offset": 6, "font": {"size": 12, "color": INK}}
    look = {"ticklen": 0, "minorticklen": 0, "font": {"size": 1, "color": "rgba(0,0,0,0)"}, "bgcolor": VEIL}
    return place | look | {"active": len(steps) - 1, "currentvalue": value, "steps": steps}


def _heading(wrapped: str, place: Place) -> dict[str, Any]:
    return {
        "text": wrapped,
        "xref": "paper", "yref": "paper", "x": place[0], "y": place[3], "xanchor": "left", "yanchor": "bottom",
        "yshift": 4, "showarrow": False, "align": "left", "font": {"size": 14},
    }  # fmt: skip
