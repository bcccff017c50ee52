"""Axes, scenes, rules and color bars of a panel in Plotly's layout."""

from typing import Any

import numpy as np

from thalweg.figures.limits import color_ends, crosses, extent, limits, valued
from thalweg.figures.marks import Bars, Contour, HeatMap, Histogram, Mark, ReferenceLine
from thalweg.figures.panel import Axis, Panel
from thalweg.figures.style import GRID, MUTED, VEIL, categories, color_map, spatial
from thalweg.figures.ticks import counts, decades, log_labels
from thalweg.figures.to_plotly.traces import Trace, escaped

_LABELED_DECADES = 8  # powers of ten that each get a label on a log axis; of more, every second, third, ...
_FEW_DECADES = 2  # with fewer, there are ticks between the powers of ten
_BETWEEN = 3  # of those, roughly
_IN_DEPTH = 5  # powers of ten with a label along an axis in three dimensions

Place = tuple[float, float, float, float]  # left, right, bottom and top, in fractions of the drawing


class Names:
    """What Plotly calls the axes, scene and color axis of panel `index`."""

    def __init__(self, index: int) -> None:
        number = "" if index == 0 else str(index + 1)
        self.x, self.y, self.scene, self.coloraxis = f"x{number}", f"y{number}", f"scene{number}", f"coloraxis{number}"
        self.xaxis, self.yaxis = f"xaxis{number}", f"yaxis{number}"


def axes(panel: Panel, place: Place, names: Names) -> dict[str, Any]:
    """The two axes of a flat panel."""
    left, right, bottom, top = place
    x, y = _axis(panel.x, panel.x.limits, extent(panel, "x")), _axis(panel.y, limits(panel), extent(panel, "y"))
    x |= {"domain": [left, right], "anchor": names.y}
    y |= {"domain": [bottom, top], "anchor": names.x}
    if categories(panel):
        order = [escaped(label) for label in categories(panel)]
        x |= {"type": "category", "categoryorder": "array", "categoryarray": order, "showgrid": False}
    if any(isinstance(mark, HeatMap | Contour) for mark in panel.marks):
        x["showgrid"] = y["showgrid"] = False
    for mark in panel.marks:
        if isinstance(mark, HeatMap):  # a tick for each row and column of a small map of things that are counted
            x |= {"tickvals": mark.x.tolist()} if counts(mark.x) else {}
            y |= {"tickvals": mark.y.tolist()} if counts(mark.y) else {}
    return {names.xaxis: x, names.yaxis: y}


def _axis(axis: Axis, ends: tuple[float, float] | None, shown: tuple[float, float] | None) -> dict[str, Any]:
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
        low, high = ends or shown or (1.0, 1.0)
        settings |= _logarithmic(low, high, _LABELED_DECADES)
        if np.log10(high) - np.log10(low) <= _LABELED_DECADES:
            settings |= {"minor": {"ticks": "outside", "ticklen": 3, "tickcolor": MUTED}}
    if axis.names:
        settings |= {"tickvals": list(range(len(axis.names))), "ticktext": [escaped(name) for name in axis.names]}
    return settings | _range(axis, ends)


def _logarithmic(low: float, high: float, most: int) -> dict[str, Any]:
    """Ticks of a log axis: powers of ten, at most so many; over few decades also between, all written out.

    Of Plotly's own those between two powers of ten are bare digits, a 2 for 0.02.
    """
    decades = np.log10(high) - np.log10(low)
    if decades >= _FEW_DECADES:
        return {"dtick": max(1, round(decades / most))}
    return {"nticks": _BETWEEN, "tickformat": "~g"}


def _range(axis: Axis, ends: tuple[float, float] | None) -> dict[str, Any]:
    """From where to where, as Plotly wants it: on a log axis by the exponents."""
    if ends is None:
        return {}
    return {"range": [float(np.log10(end)) for end in ends] if axis.scale == "log" else [*ends]}


def scene(panel: Panel, place: Place, names: Names) -> dict[str, Any]:
    """The three axes of a panel with surfaces."""
    left, right, bottom, top = place
    axes = {
        name: _range(axis, axis.limits)
        | (_in_depth(axis.limits or extent(panel, name[0])) if axis.scale == "log" else {"nticks": 6})
        | {
            # The color bar names the third.
            "title": {"text": "" if name == "zaxis" else escaped(axis.text), "font": {"size": 12}},
            "tickfont": {"size": 11},
            "type": axis.scale,
            "gridcolor": GRID,
            "showbackground": False,
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


def _in_depth(shown: tuple[float, float] | None) -> dict[str, Any]:
    """Ticks of a log axis in three dimensions."""
    return _logarithmic(*(shown or (1.0, 1.0)), _IN_DEPTH)


def rule(mark: ReferenceLine, panel: Panel, names: Names, layout: dict[str, Any], traces: list[Trace]) -> None:
    """A line across the panel, its label, and an unseen point that keeps it within the axis."""
    flat = mark.direction == "horizontal"
    axis = panel.y if flat else panel.x
    if not crosses(mark, panel):
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
        words |= {"bgcolor": VEIL, "borderpad": 1}
        layout["annotations"].append(words | place)
    other = next((point for drawn in panel.marks for point in _some_point(drawn, flat)), None)
    if other is not None and axis.limits is None:
        x, y = (other, mark.value) if flat else (mark.value, other)
        unseen = {"mode": "markers", "marker": {"opacity": 0}, "hoverinfo": "skip", "showlegend": False}
        traces.append({"type": "scatter", "x": [x], "y": [y], "xaxis": names.x, "yaxis": names.y} | unseen)


def _some_point(mark: Mark, flat: bool) -> list[Any]:
    """A place on the other axis that the panel shows anyway."""
    if isinstance(mark, Bars):
        return [escaped(label) for label in mark.labels[:1]] if flat else []
    if isinstance(mark, ReferenceLine):
        return []
    if isinstance(mark, Histogram):
        return [float(mark.edges[0])] if flat else [float(mark.heights.max())]
    values = mark.x if flat else mark.y
    return values[np.isfinite(values) & (values > 0)][:1].tolist() or values[np.isfinite(values)][:1].tolist()


def color_bar(panel: Panel, place: Place, traces: list[Trace], names: Names) -> dict[str, Any]:
    """One color axis per panel, with a bar beside it, for all its marks that show values by color."""
    if all(valued(mark) is None for mark in panel.marks):
        return {}
    axis = panel.z or Axis()
    _, right, bottom, top = place
    bar: dict[str, Any] = {
        "title": {"text": escaped(axis.text), "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
        "exponentformat": "power",
        "x": right + 0.01,
        "xanchor": "left",
        "y": (bottom + top) / 2,
        "len": (top - bottom) * (0.75 if spatial(panel) else 1),
    }
    if right >= 1:
        del bar["x"], bar["xanchor"]  # Plotly's own place at the margin, which grows with it
    low, high = color_ends(panel)
    if axis.scale == "log":
        ticks = decades(low, high)
        bar |= {"tickvals": np.log10(ticks), "ticktext": log_labels(ticks, "<sup>", "</sup>")}
        low, high = float(np.log10(low)), float(np.log10(high))
    for trace in traces:
        here = trace.get("scene") == names.scene if spatial(panel) else trace.get("xaxis") == names.x
        if here and trace["type"] in {"heatmap", "surface"}:
            trace["coloraxis"] = names.coloraxis
        elif here and not isinstance(trace.get("marker", {}).get("color", ""), str):
            trace["marker"]["coloraxis"] = names.coloraxis
    scale = color_map(panel).capitalize()
    return {names.coloraxis: {"colorscale": scale, "cmin": low, "cmax": high, "colorbar": bar}}
