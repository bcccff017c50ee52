"""Figures as Plotly's: interactive, as wide as their page, on a transparent ground, nothing fetched."""

import html
import textwrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.results.figure import Axis, Figure
from thalweg.results.marks import Bars, Contour, HeatMap, Histogram, Mark, Rule, Scatter, Surface
from thalweg.results.plotly_traces import Trace, draw, escaped, frames
from thalweg.results.style import (
    GRID,
    GRID_MAP,
    INK,
    MUTED,
    POINT_MAP,
    categories,
    colors_by_value,
    decades,
    drawable,
    named_once,
    power,
    styles,
)

# For Plotly.newPlot, .show() and .to_html() (a copy: they change it). Plotly's default has a button that uploads
# the chart; nothing here does.
CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetCameraLastSave3d"],
}

_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_LABELED_DECADES = 8  # powers of ten that each get a label on a log axis; of more, every second, third, ...
_PLAYER = 36  # pixels above the panels' titles for its buttons
_ROW = 400  # pixels of height per row of panels


def render(figure: Figure, *, columns: int | None = None) -> go.Figure:
    """The figure in Plotly.

    Args:
        figure: what to draw.
        columns: panels side by side; all of them when not given. A narrow page wants 1.

    Raises:
        UsageError: fewer than one column.
    """
    panels = figure.parts
    columns = len(panels) if columns is None else columns
    if columns < 1:
        msg = f"A figure has at least one column of panels, not {columns}."
        raise UsageError(msg)
    places = _places(panels, columns)
    layout = _frame(figure, rows=-(-len(panels) // columns))
    traces: list[Trace] = []
    for index, (panel, place) in enumerate(zip(panels, places, strict=True)):
        names = _Names(index)
        layout |= _scene(panel, place, names) if _is_3d(panel) else _axes(panel, place, names)
        if figure.panels and panel.title:
            layout["annotations"].append(_heading(panel.title, place))
        legend = named_once(figure)[index]
        for mark, style, named in zip(panel.marks, styles(figure)[index], legend, strict=True):
            if isinstance(mark, Rule):
                _rule(mark, panel, names, layout, traces)
                continue
            drawn = draw(mark, panel, style, named)
            where = {"scene": names.scene} if _is_3d(panel) else {"xaxis": names.x, "yaxis": names.y}
            traces += [trace | where for trace in drawn]
        _color_bar(panel, place, traces, layout, names)
    moving = frames(traces)
    if moving:
        layout |= _player()
        layout["margin"]["t"] += _PLAYER
    return go.Figure(data=traces, layout=layout, frames=moving)


def page(figure: Figure) -> str:
    """A self-contained HTML page with the figure and its caption."""
    drawing = render(figure).to_html(include_plotlyjs=True, full_html=False, auto_play=False, config=dict(CONFIG))
    title = html.escape(figure.title or "Figure")
    caption = f"<figcaption>{html.escape(figure.caption)}</figcaption>" if figure.caption else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>body{{margin:1rem;font-family:{_FONT};color:{INK}}}"
        "figure{margin:0 auto;max-width:75rem}figcaption{max-width:45rem;margin:.5rem auto;line-height:1.45}</style>"
        f'</head><body><figure><div role="img" aria-label="{html.escape(figure.description)}">{drawing}</div>'
        f"{caption}</figure></body></html>\n"
    )


class _Names:
    """What Plotly calls the axes, scene and color axis of panel `index`."""

    def __init__(self, index: int) -> None:
        number = "" if index == 0 else str(index + 1)
        self.x, self.y, self.scene, self.coloraxis = f"x{number}", f"y{number}", f"scene{number}", f"coloraxis{number}"
        self.xaxis, self.yaxis = f"xaxis{number}", f"yaxis{number}"


def _is_3d(panel: Figure) -> bool:
    return any(isinstance(mark, Surface) for mark in panel.marks)


def _places(panels: tuple[Figure, ...], columns: int) -> list[tuple[float, float, float, float]]:
    """Left, right, bottom and top of every panel, in fractions of the drawing."""
    rows = -(-len(panels) // columns)
    places = []
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        # The outer margins grow with their tick labels; between panels the room has to be left here.
        left = column / columns + (0.07 if column and not _is_3d(panel) else 0.0)
        bar = any(map(colors_by_value, panel.marks)) and column < columns - 1
        right = (column + 1) / columns - (0.17 if bar else 0.02 if column < columns - 1 else 0.0)
        top = 1 - row / rows - (0.14 / rows if row else 0.0)
        places.append((left, right, 1 - (row + 1) / rows + (0.08 if row < rows - 1 else 0.0), top))
    return places


def _frame(figure: Figure, *, rows: int) -> dict[str, Any]:
    wrapped = textwrap.wrap(figure.title, 40)  # as many letters as a phone is wide
    top = 12 + (10 + 21 * len(wrapped) if wrapped else 0)
    if figure.panels and any(panel.title for panel in figure.panels):
        top += 22
    return {
        "template": "none",
        "autosize": True,
        "height": _ROW * rows + 60,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 13, "color": INK},
        "title": {
            "text": "<br>".join(map(escaped, wrapped)), "font": {"size": 16},
            "xref": "container", "x": 0, "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top",
            "pad": {"l": 8, "t": 10 + 12 * max(0, len(wrapped) - 1)},
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


def _axes(panel: Figure, place: tuple[float, float, float, float], names: _Names) -> dict[str, Any]:
    left, right, bottom, top = place
    x, y = _axis(panel.x, _decades(panel, "x")), _axis(panel.y, _decades(panel, "y"))
    x |= {"domain": [left, right], "anchor": names.y}
    y |= {"domain": [bottom, top], "anchor": names.x}
    if categories(panel):
        x |= {"type": "category", "categoryorder": "array", "categoryarray": categories(panel), "showgrid": False}
    if any(isinstance(mark, HeatMap | Contour) for mark in panel.marks):
        x["showgrid"] = y["showgrid"] = False
    return {names.xaxis: x, names.yaxis: y}


def _decades(panel: Figure, name: str) -> float:
    """How many powers of ten the panel's marks span along an axis."""
    parts = [np.ravel(getattr(mark, name)) for mark in panel.marks if hasattr(mark, name)]
    values = np.concatenate([part for part in parts if part.dtype.kind in "iuf"] or [np.ones(1)])
    shown = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(shown.max() / shown.min())) if len(shown) else 0.0


def _axis(axis: Axis, decades: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "title": {"text": escaped(axis.text), "standoff": 8},
        "type": axis.scale,
        "automargin": True,
        "gridcolor": GRID,
        "linecolor": MUTED,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "exponentformat": "power",
    }
    if axis.scale == "log":
        settings |= {"dtick": max(1, round(decades / _LABELED_DECADES))} if axis.limits is None else {}
        if decades <= _LABELED_DECADES:
            settings |= {"minor": {"ticks": "outside", "ticklen": 3, "tickcolor": MUTED}}
    if axis.limits is not None:
        settings["range"] = [float(np.log10(end)) for end in axis.limits] if axis.scale == "log" else [*axis.limits]
    return settings


def _scene(panel: Figure, place: tuple[float, float, float, float], names: _Names) -> dict[str, Any]:
    left, right, bottom, top = place
    axes = {
        name: {
            "title": {"text": escaped(axis.text)},
            "type": axis.scale,
            "gridcolor": GRID,
            "showbackground": False,
            "nticks": 6,
            "exponentformat": "power",
        }
        for name, axis in (("xaxis", panel.x), ("yaxis", panel.y), ("zaxis", panel.z or Axis()))
    }
    scene = axes | {
        "domain": {"x": [left, right], "y": [bottom, top]},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.7},
        "camera": {"eye": {"x": 1.4, "y": -1.5, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.12}},
    }
    return {names.scene: scene}


def _player() -> dict[str, Any]:
    """Buttons that set the dots of trajectories going, and stop them."""
    clock = {"frame": {"duration": 60, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    still = {"frame": {"duration": 0}, "transition": {"duration": 0}, "mode": "immediate"}
    buttons = [
        {"label": "▶ Play", "method": "animate", "args": [None, clock | {"fromcurrent": False}]},
        {"label": "■ Stop", "method": "animate", "args": [[None], still]},
    ]
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 26}}
    look = {"type": "buttons", "direction": "left", "showactive": False, "font": {"size": 12, "color": INK}}
    return {"updatemenus": [look | place | {"bgcolor": "rgba(255,255,255,0.7)", "buttons": buttons}]}


def _heading(title: str, place: tuple[float, float, float, float]) -> dict[str, Any]:
    return {
        "text": "<br>".join(map(escaped, textwrap.wrap(title, 40))),
        "xref": "paper", "yref": "paper", "x": place[0], "y": place[3], "xanchor": "left", "yanchor": "bottom",
        "yshift": 4, "showarrow": False, "align": "left", "font": {"size": 14},
    }  # fmt: skip


def _rule(mark: Rule, panel: Figure, names: _Names, layout: dict[str, Any], traces: list[Trace]) -> None:
    """A line across the panel, its label, and an unseen point that keeps it within the axis."""
    flat = mark.direction == "horizontal"
    axis = panel.y if flat else panel.x
    if axis.scale == "log" and mark.value <= 0:
        return
    at = {"y0": mark.value, "y1": mark.value, "x0": 0, "x1": 1} if flat else {"x0": mark.value, "x1": mark.value}
    at |= {"xref": f"{names.x} domain", "yref": names.y} if flat else {"y0": 0, "y1": 1, "xref": names.x}
    at |= {} if flat else {"yref": f"{names.y} domain"}
    layout["shapes"].append({"type": "line", "line": {"color": MUTED, "width": 1.3, "dash": "dash"}} | at)
    if mark.label:
        value = float(np.log10(mark.value)) if axis.scale == "log" else mark.value
        place = {"x": 1, "y": value, "xref": f"{names.x} domain", "yref": names.y, "yanchor": "bottom"}
        if not flat:
            place = {
                "x": value,
                "y": 1,
                "xref": names.x,
                "yref": f"{names.y} domain",
                "yanchor": "top",
                "textangle": -90,
            }
        words = {
            "text": escaped(mark.label),
            "showarrow": False,
            "xanchor": "right",
            "font": {"size": 12, "color": MUTED},
        }
        words |= {"bgcolor": "rgba(255,255,255,0.7)", "borderpad": 1}
        layout["annotations"].append(words | place)
    other = next((point for drawn in panel.marks for point in _some_point(drawn, flat)), None)
    if other is not None and axis.limits is None:
        x, y = (other, mark.value) if flat else (mark.value, other)
        unseen = {"mode": "markers", "marker": {"opacity": 0}, "hoverinfo": "skip", "showlegend": False}
        traces.append({"type": "scatter", "x": [x], "y": [y], "xaxis": names.x, "yaxis": names.y} | unseen)


def _some_point(mark: Mark, flat: bool) -> list[Any]:
    """A place on the other axis that the panel shows anyway."""
    if isinstance(mark, Bars):
        return [mark.labels[0]] if flat else []
    if isinstance(mark, Rule):
        return []
    if isinstance(mark, Histogram):
        return [mark.edges[0]] if flat else [float(mark.heights.max())]
    values = mark.x if flat else mark.y
    return values[np.isfinite(values) & (values > 0)][:1].tolist() or values[np.isfinite(values)][:1].tolist()


def _color_bar(
    panel: Figure, place: tuple[float, float, float, float], traces: list[Trace], layout: dict[str, Any], names: _Names
) -> None:
    """One color axis per panel, with a bar beside it, for all its marks that show values by color."""
    valued = [mark for mark in panel.marks if colors_by_value(mark)]
    if not valued:
        return
    axis = panel.z or Axis()
    values = np.concatenate([drawable(_values(mark), axis).ravel() for mark in valued])
    values = values[np.isfinite(values)]
    _, right, bottom, top = place
    bar: dict[str, Any] = {
        "title": {"text": escaped(axis.text), "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
        "exponentformat": "power",
        "x": right + 0.01,
        "xanchor": "left",
        "y": (bottom + top) / 2,
        "len": (top - bottom) * (0.75 if _is_3d(panel) else 1),
    }
    if right >= 1:
        del bar["x"], bar["xanchor"]  # Plotly's own place at the margin, which grows with it
    low, high = axis.limits or ((float(values.min()), float(values.max())) if len(values) else (1.0, 10.0))
    if axis.scale == "log":
        ticks = decades(low, high)
        bar |= {"tickvals": np.log10(ticks), "ticktext": [power(tick, "<sup>", "</sup>") for tick in ticks]}
        low, high = float(np.log10(low)), float(np.log10(high))
    scale = GRID_MAP if any(isinstance(mark, HeatMap | Surface) for mark in valued) else POINT_MAP
    layout[names.coloraxis] = {"colorscale": scale.capitalize(), "cmin": low, "cmax": high, "colorbar": bar}
    for trace in traces:
        here = trace.get("scene") == names.scene if _is_3d(panel) else trace.get("xaxis") == names.x
        if here and trace["type"] in {"heatmap", "surface"}:
            trace["coloraxis"] = names.coloraxis
        elif here and not isinstance(trace.get("marker", {}).get("color", ""), str):
            trace["marker"]["coloraxis"] = names.coloraxis


def _values(mark: Mark) -> NDArray[np.float64]:
    return mark.color if isinstance(mark, Scatter) and mark.color is not None else getattr(mark, "z", np.array([]))
