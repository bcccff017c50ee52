"""Marks as Plotly's traces: plain dictionaries, not yet placed on axes."""

import html
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.results.figure import Axis, Figure
from thalweg.results.marks import Bars, Contour, Density, HeatMap, Histogram, Line, Mark, Scatter, Surface, Trajectory
from thalweg.results.style import FEW, INK, MUTED, Style, band, drawable, levels

LINE = 2.2  # pixels
_FRAMES = 60  # places at which a moving dot is shown

Trace = dict[str, Any]


def draw(mark: Mark, panel: Figure, style: Style, named: bool) -> list[Trace]:
    """The traces of one mark; `named` says whether it stands for its label in the legend."""
    legend = {"name": escaped(mark.label), "legendgroup": mark.label or None, "showlegend": named}
    if isinstance(mark, Line):
        return _line(mark, panel, style, legend)
    if isinstance(mark, Scatter):
        return [_scatter(mark, panel, style, legend)]
    if isinstance(mark, Trajectory):
        return _trajectory(mark, panel, style, legend)
    if isinstance(mark, Bars):
        return [_bars(mark, panel, style, legend)]
    if isinstance(mark, Histogram):
        return [_histogram(mark, panel, style, legend)]
    if isinstance(mark, Density):
        x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
        line = {"color": style.color, "width": LINE, "dash": _dash(style)}
        fill = {"fill": "tozeroy", "fillcolor": _faint(style.color, 0.2)}
        return [legend | {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line} | fill]
    if isinstance(mark, HeatMap):
        return [_heat_map(mark, panel)]
    if isinstance(mark, Contour):
        return _contour(mark, panel)
    return [_surface(mark, panel)] if isinstance(mark, Surface) else []


def _line(mark: Line, panel: Figure, style: Style, legend: dict[str, Any]) -> list[Trace]:
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    traces: list[Trace] = []
    if mark.low is not None:
        low, high = band(mark, panel.y)
        outline_x, outline_y = _outline(x, low, high)
        fill = {"fill": "toself", "fillcolor": _faint(style.color, 0.2), "line": {"width": 0}, "hoverinfo": "skip"}
        quiet = legend | {"showlegend": False}
        traces.append(quiet | {"type": "scatter", "mode": "lines", "x": outline_x, "y": outline_y} | fill)
    points = "lines+markers" if len(x) <= FEW else "lines"
    if any(isinstance(other, HeatMap) for other in panel.marks):
        halo = {"mode": "lines", "line": {"color": "#ffffff", "width": LINE + 2.5}, "hoverinfo": "skip"}
        traces.append(legend | {"showlegend": False, "type": "scatter", "x": x, "y": y} | halo)
    traces.append(
        legend
        | {
            "type": "scatter",
            "mode": points,
            "x": x,
            "y": y,
            "line": {"color": style.color, "width": LINE, "dash": _dash(style)},
            "marker": {"color": style.color, "symbol": style.marker, "size": 7},
            "connectgaps": False,
            "hovertemplate": _hover(panel, mark.label),
        }
    )
    return traces


def _outline(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A polygon around every stretch of the band without a gap; NaN stands between polygons."""
    whole = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], whole.astype(int), [0]])))
    xs, ys = [], []
    for start, stop in edges.reshape(-1, 2):
        xs += [x[start:stop], x[start:stop][::-1], [np.nan]]
        ys += [high[start:stop], low[start:stop][::-1], [np.nan]]
    return (np.concatenate(xs)[:-1], np.concatenate(ys)[:-1]) if xs else (np.array([]), np.array([]))


def _scatter(mark: Scatter, panel: Figure, style: Style, legend: dict[str, Any]) -> Trace:
    size = mark.size * 4 / 3  # points of print are 1/72 inch, CSS pixels 1/96
    marker: dict[str, Any] = {"symbol": style.marker, "size": size, "line": {"color": "#ffffff", "width": 0.8}}
    marker["color"] = style.color if mark.color is None else shade(mark.color, panel)
    trace = legend | {
        "type": "scatter",
        "mode": "markers",
        "x": drawable(mark.x, panel.x),
        "y": drawable(mark.y, panel.y),
        "marker": marker,
        "hovertemplate": _hover(panel, mark.label),
    }
    if mark.error is not None:
        color = style.color if mark.color is None else MUTED
        trace["error_y"] = {"type": "data", "array": mark.error, "color": color, "thickness": 1.2, "width": 3}
    return trace


def _trajectory(mark: Trajectory, panel: Figure, style: Style, legend: dict[str, Any]) -> list[Trace]:
    """The whole way as a line, and the dot at its end, which `frames` moves along it."""
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    way = {"color": style.color, "width": LINE - 0.6, "dash": _dash(style)}
    dot = {"color": style.color, "symbol": style.marker, "size": 11, "line": {"color": "#ffffff", "width": 1.5}}
    hover = {"hovertemplate": _hover(panel, mark.label)}
    return [
        legend | hover | {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": way, "connectgaps": False},
        legend
        | hover
        | {"type": "scatter", "mode": "markers", "x": x[-1:], "y": y[-1:], "marker": dot, "showlegend": False}
        | {"meta": {"way": [x.tolist(), y.tolist()]}},
    ]


def frames(traces: list[Trace]) -> list[Trace]:
    """Where the dots of all trajectories are as time goes by; the `meta` in which they kept it is taken away."""
    ways = {index: trace.pop("meta")["way"] for index, trace in enumerate(traces) if "meta" in trace}
    if not ways:
        return []
    last = max(len(x) for x, _ in ways.values()) - 1
    times = np.unique(np.linspace(0, last, min(last + 1, _FRAMES)).round().astype(int)).tolist()
    drawn = []
    for time in times:
        dots = [{"x": [x[min(time, len(x) - 1)]], "y": [y[min(time, len(y) - 1)]]} for x, y in ways.values()]
        drawn.append({"name": str(time), "data": dots, "traces": list(ways)})
    return drawn


def _bars(mark: Bars, panel: Figure, style: Style, legend: dict[str, Any]) -> Trace:
    trace = legend | {
        "type": "bar",
        "x": list(mark.labels),
        "y": drawable(mark.values, panel.y),
        "marker": {
            "color": style.color,
            "line": {"color": style.color, "width": 1},
            "pattern": {"shape": style.hatch, "fillmode": "overlay", "fgcolor": "#ffffff", "size": 7, "solidity": 0.25},
        },
        "hovertemplate": _hover(panel, mark.label, x="%{x}"),
    }
    if mark.low is not None and mark.high is not None:
        ends = {"array": mark.high - mark.values, "arrayminus": mark.values - mark.low}
        trace["error_y"] = {"type": "data", "symmetric": False, "color": INK, "thickness": 1.2, "width": 4} | ends
    return trace


def _histogram(mark: Histogram, panel: Figure, style: Style, legend: dict[str, Any]) -> Trace:
    x = np.repeat(mark.edges, 2)
    y = np.concatenate([[0.0], np.repeat(mark.heights, 2), [0.0]])
    return legend | {
        "type": "scatter",
        "mode": "lines",
        "x": drawable(x, panel.x),
        "y": drawable(y, panel.y),
        "line": {"color": style.color, "width": 1.4},
        "fill": "tozeroy",
        "fillpattern": {"shape": style.hatch, "bgcolor": _faint(style.color, 0.3), "fgcolor": style.color, "size": 7}
        if style.hatch
        else None,
        "fillcolor": _faint(style.color, 0.3),
        "hovertemplate": _hover(panel, mark.label),
    }


def _heat_map(mark: HeatMap, panel: Figure) -> Trace:
    z = drawable(mark.z, panel.z or Axis())
    return {
        "type": "heatmap",
        "x": mark.x,
        "y": mark.y,
        "z": shade(z, panel),
        "customdata": z,
        "hoverongaps": False,
        "hovertemplate": _hover(panel, mark.label, z="%{customdata:.4g}"),
    }


def _contour(mark: Contour, panel: Figure) -> list[Trace]:
    """One trace per level: Plotly itself only knows equally spaced ones."""
    axis = panel.z or Axis()
    z = shade(drawable(mark.z, axis), panel)
    alone = not any(isinstance(other, HeatMap) for other in panel.marks)
    chosen = levels(mark, axis)
    at = np.log10(chosen) if axis.scale == "log" else chosen
    common = {
        "type": "contour",
        "x": mark.x,
        "y": mark.y,
        "z": z,
        "autocontour": False,
        "showscale": False,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": INK if alone else "#ffffff", "width": 1.2 if alone else 0.9},
        "colorscale": [[0, INK if alone else "#ffffff"], [1, INK if alone else "#ffffff"]],
    }
    label: dict[str, Any] = {"coloring": "none", "showlabels": axis.scale == "linear"}
    label["labelfont"] = {"size": 10, "color": INK if alone else "#ffffff"}
    steps = np.diff(at)
    if len(at) > 1 and np.allclose(steps, steps[0]):
        return [common | {"contours": label | {"start": at[0], "end": at[-1] + steps[0] / 100, "size": steps[0]}}]
    return [common | {"contours": label | {"start": level, "end": level, "size": 1}} for level in at]


def _surface(mark: Surface, panel: Figure) -> Trace:
    z = drawable(mark.z, panel.z or Axis())
    return {
        "type": "surface",
        "x": mark.x,
        "y": mark.y,
        "z": z,
        "surfacecolor": shade(z, panel),
        "hovertemplate": _hover(panel, mark.label, z="%{z:.4g}"),
        "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05},
    }


def shade(values: NDArray[np.float64], panel: Figure) -> NDArray[np.float64]:
    """Values on the color axis. Plotly has no logarithmic one: logarithms are drawn, with the values at the ticks."""
    axis = panel.z or Axis()
    shown = drawable(values, axis)
    return np.log10(shown) if axis.scale == "log" else shown


def _hover(panel: Figure, label: str, *, x: str = "%{x:.4g}", z: str = "") -> str:
    lines = [f"{escaped(panel.x.label or 'x')}: {x}", f"{escaped(panel.y.label or 'y')}: %{{y:.4g}}"]
    if z:
        lines.append(f"{escaped((panel.z.label if panel.z else '') or label or 'z')}: {z}")
    return "<br>".join(lines) + f"<extra>{escaped(label)}</extra>"


def _dash(style: Style) -> str:
    return ",".join(f"{part * LINE:g}px" for part in style.dash) or "solid"


def _faint(color: str, opacity: float) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def escaped(text: str) -> str:
    """Text as text: Plotly would read tags in it."""
    return html.escape(text, quote=False)
