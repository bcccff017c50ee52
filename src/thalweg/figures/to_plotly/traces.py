"""Marks as Plotly's traces: plain dictionaries, not yet placed on axes."""

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.figures.limits import alone, band, drawable, floor, points, reached
from thalweg.figures.marks import (
    Bars,
    Contour,
    Density,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
)
from thalweg.figures.panel import Axis, Panel
from thalweg.figures.style import FAINT, FEW, INK, MUTED, THIN, Style, on_map
from thalweg.figures.ticks import digits, levels

LINE = 2.2  # pixels
_MOMENTS = 60  # places at which a moving dot is shown

Trace = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """A point in time: which traces are dots, and where each of them is then."""

    time: int
    traces: list[int]
    x: list[list[float]]
    y: list[list[float]]


def draw(mark: Mark, panel: Panel, style: Style, named: bool) -> list[Trace]:
    """The traces of one mark; `named` says whether it stands for its label in the legend."""
    legend = {"name": escaped(mark.label), "legendgroup": mark.label or None, "showlegend": named}
    if isinstance(mark, Line):
        return _line(mark, panel, style, legend)
    if isinstance(mark, Scatter):
        return [_scatter(mark, panel, style, legend)]
    if isinstance(mark, TrajectoryLine):
        return _trajectory(mark, panel, style, legend)
    if isinstance(mark, Bars):
        return [_bars(mark, panel, style, legend)]
    if isinstance(mark, Histogram):
        return [_histogram(mark, panel, style, legend)]
    if isinstance(mark, Density):
        x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
        line = {"color": style.color, "width": LINE, "dash": _dash(style)}
        curve = {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "connectgaps": False}
        return [_area(x, np.full(len(y), floor(panel)), y, style, legend), legend | curve]
    if isinstance(mark, HeatMap):
        return [_heat_map(mark, panel)]
    if isinstance(mark, Contour):
        return _contour(mark, panel)
    return [_surface(mark, panel)] if isinstance(mark, SurfacePlot) else []


def _line(mark: Line, panel: Panel, style: Style, legend: dict[str, Any]) -> list[Trace]:
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    traces: list[Trace] = []
    if mark.low is not None:
        low, high = band(mark, panel)
        traces.append(_area(x, low, high, style, legend))
        single = alone(x, low, high)
        if single.any():
            at, ends = np.repeat(x[single], 3), np.stack([low, high, np.full(len(x), np.nan)], axis=1)[single].ravel()
            stroke = {"mode": "lines", "line": {"color": _faint(style.color, 0.4), "width": LINE}, "hoverinfo": "skip"}
            traces.append(legend | {"showlegend": False, "type": "scatter", "x": at, "y": ends} | stroke)
    if on_map(panel):
        halo = {"mode": "lines", "line": {"color": "#ffffff", "width": LINE + 2.5}, "hoverinfo": "skip"}
        traces.append(legend | {"showlegend": False, "type": "scatter", "x": x, "y": y} | halo)
    shown = np.full(len(x), True) if len(x) <= FEW and not mark.thin else alone(x, y)
    traces.append(
        legend
        | {
            "type": "scatter",
            "mode": "lines+markers" if shown.any() else "lines",
            "x": x,
            "y": y,
            "line": {"color": style.color, "width": THIN * LINE if mark.thin else LINE, "dash": _dash(style)},
            "opacity": FAINT if mark.thin else None,
            "marker": {"color": style.color, "symbol": style.marker, "size": 7 if shown.all() else 7 * shown},
            "connectgaps": False,
            "hovertemplate": _hover(panel, mark.label),
        }
    )
    return traces


def _area(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], style: Style, legend: dict[str, Any]
) -> Trace:
    """What is between two curves, filled where neither has a gap."""
    at, ends = _outline(x, low, high)
    fill = {"fill": "toself", "fillcolor": _faint(style.color, 0.2), "line": {"width": 0}, "hoverinfo": "skip"}
    return legend | {"showlegend": False, "type": "scatter", "mode": "lines", "x": at, "y": ends} | fill


def _outline(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A closed polygon around every stretch without a gap; NaN stands between polygons."""
    whole = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], whole.astype(int), [0]])))
    xs, ys = [], []
    for start, stop in edges.reshape(-1, 2):
        xs += [x[start:stop], x[start:stop][::-1], x[start : start + 1], [np.nan]]
        ys += [high[start:stop], low[start:stop][::-1], high[start : start + 1], [np.nan]]
    return (np.concatenate(xs)[:-1], np.concatenate(ys)[:-1]) if xs else (np.array([]), np.array([]))


def _scatter(mark: Scatter, panel: Panel, style: Style, legend: dict[str, Any]) -> Trace:
    x, y = points(mark, panel)
    size = mark.size * 4 / 3  # points of print are 1/72 inch, CSS pixels 1/96
    marker: dict[str, Any] = {"symbol": style.marker, "size": size, "line": {"color": "#ffffff", "width": 0.8}}
    marker["color"] = style.color if mark.color is None else shade(mark.color, panel)
    if mark.hollow:
        marker |= {"color": "rgba(0,0,0,0)", "line": {"color": style.color, "width": 1.6}}
    trace = legend | {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "marker": marker,
        "hovertemplate": _hover(panel, mark.label),
    }
    if mark.error is not None:
        color = style.color if mark.color is None else MUTED
        trace["error_y"] = {"type": "data", "array": mark.error, "color": color, "thickness": 1.2, "width": 3}
    return trace


def _trajectory(mark: TrajectoryLine, panel: Panel, style: Style, legend: dict[str, Any]) -> list[Trace]:
    """The whole way as a line, and the dot at its end, which a slider moves along it (see `moments`)."""
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    way = {"color": style.color, "width": LINE - 0.6, "dash": _dash(style)}
    dot = {"color": style.color, "symbol": style.marker, "size": 11, "line": {"color": "#ffffff", "width": 1.5}}
    hover = {"hovertemplate": _hover(panel, mark.label)}
    end = reached(x, y)
    return [
        legend | hover | {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": way, "connectgaps": False},
        legend
        | hover
        | {"type": "scatter", "mode": "markers", "x": x[end], "y": y[end], "marker": dot, "showlegend": False}
        | {"meta": {"way": _places(x, y)}},
    ]


def _places(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Where a dot is at each time: in a gap it waits, and before its first place it is there already."""
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(there):
        return []
    last = there[np.maximum(np.searchsorted(there, np.arange(len(x)), side="right") - 1, 0)]
    return list(zip(x[last].tolist(), y[last].tolist(), strict=True))


def moments(traces: list[Trace]) -> list[Moment]:
    """Where the dots of all trajectories are as time goes by; the `meta` in which they kept it is taken away."""
    ways = {index: trace.pop("meta")["way"] for index, trace in enumerate(traces) if "meta" in trace}
    ways = {index: way for index, way in ways.items() if way}
    if not ways:
        return []
    last = max(map(len, ways.values())) - 1
    times = np.unique(np.linspace(0, last, min(last + 1, _MOMENTS)).round().astype(int)).tolist()
    found = []
    for time in times:
        places = [way[min(time, len(way) - 1)] for way in ways.values()]
        found.append(Moment(time, list(ways), [[x] for x, _ in places], [[y] for _, y in places]))
    return found


def _bars(mark: Bars, panel: Panel, style: Style, legend: dict[str, Any]) -> Trace:
    trace = legend | {
        "type": "bar",
        "x": list(map(escaped, mark.labels)),
        "y": drawable(mark.values, panel.y),
        "marker": {
            "color": style.color,
            "line": {"color": style.color, "width": 1},
            "pattern": {"shape": style.hatch, "fillmode": "overlay", "fgcolor": "#ffffff", "size": 7, "solidity": 0.25},
        },
        "hovertemplate": _hover(panel, mark.label, x="%{x}"),
    }
    if mark.low is not None:
        low, high = band(mark, panel)
        ends = {"array": high - mark.values, "arrayminus": mark.values - low}
        trace["error_y"] = {"type": "data", "symmetric": False, "color": INK, "thickness": 1.2, "width": 4} | ends
    return trace


def _histogram(mark: Histogram, panel: Panel, style: Style, legend: dict[str, Any]) -> Trace:
    """An outline around every run of bins; on a log axis empty ones are gaps."""
    x = drawable(np.repeat(mark.edges, 2), panel.x)
    y = drawable(np.concatenate([[0.0], np.repeat(mark.heights, 2), [0.0]]), panel.y)
    color = _faint(style.color, 0.3)
    area = _area(x, np.full(len(y), floor(panel)), y, style, legend) | {"fillcolor": color}
    if style.hatch:
        area["fillpattern"] = {"shape": style.hatch, "bgcolor": color, "fgcolor": style.color, "size": 7}
    return area | legend | {"line": {"color": style.color, "width": 1.4}}


def _heat_map(mark: HeatMap, panel: Panel) -> Trace:
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


def _contour(mark: Contour, panel: Panel) -> list[Trace]:
    """One trace per level: Plotly itself only knows equally spaced ones."""
    axis = panel.z or Axis()
    z = drawable(mark.z, axis)
    chosen = levels(mark, axis)
    color, width = ("#ffffff", 0.9) if on_map(panel) else (INK, 1.2)
    common = {
        "type": "contour",
        "x": mark.x,
        "y": mark.y,
        "autocontour": False,
        "showscale": False,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": color, "width": width},
        "colorscale": [[0, color], [1, color]],
    }
    label: dict[str, Any] = {"coloring": "none", "showlabels": True, "labelfont": {"size": 10, "color": color}}
    if axis.scale == "log":
        # Straight in the logarithm of z, as colors are, and equal to z at the level, so that the label says it.
        each = [(level, (level * (1 + np.log(z / level))).astype(np.float32)) for level in chosen]
        return [common | {"z": of, "contours": label | _single(level, max(3, digits(chosen)))} for level, of in each]
    steps = np.diff(chosen)
    if len(chosen) > 1 and np.allclose(steps, steps[0]):
        evenly = {"start": chosen[0], "end": chosen[-1] + steps[0] / 100, "size": steps[0]}
        written = {"labelformat": _format(chosen, digits(chosen))}
        return [common | {"z": z, "contours": label | evenly | written}]
    return [common | {"z": z, "contours": label | _single(level, digits(chosen))} for level in chosen]


def _single(level: float, count: int) -> Trace:
    """One level line. Plotly goes on until a millionth of the size beyond it, which a float must tell from the end."""
    return {"start": level, "end": level, "size": abs(level) or 1.0, "labelformat": _format(np.array([level]), count)}


def _format(levels: NDArray[np.float64], count: int) -> str:
    """D3's format that gives every level `count` digits: with an exponent only where numbers are very long."""
    sizes = np.abs(levels)
    sizes = sizes[sizes > 1e-9 * sizes.max()] if sizes.any() else np.ones(1)  # what is left of a zero has no digits
    smallest, largest = (int(np.floor(np.log10(size))) for size in (sizes.min(), sizes.max()))
    return f".{max(0, count - 1 - smallest)}~f" if -4 < largest < 6 else f".{count - 1}~e"


def _surface(mark: SurfacePlot, panel: Panel) -> Trace:
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


def shade(values: NDArray[np.float64], panel: Panel) -> NDArray[np.float64]:
    """Values on the color axis. Plotly has no logarithmic one: logarithms are drawn, with the values at the ticks."""
    axis = panel.z or Axis()
    shown = drawable(values, axis)
    return np.log10(shown) if axis.scale == "log" else shown


def _hover(panel: Panel, label: str, *, x: str = "%{x:.4g}", z: str = "") -> str:
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
