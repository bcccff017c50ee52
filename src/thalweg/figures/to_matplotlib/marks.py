"""Marks drawn onto Matplotlib's axes."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from thalweg.figures.limits import alone, band, crosses, drawable, floor, points, reached
from thalweg.figures.marks import (
    Bars,
    Contour,
    Density,
    HeatMap,
    Histogram,
    Line,
    Mark,
    ReferenceLine,
    Scatter,
    TrajectoryLine,
)
from thalweg.figures.panel import Axis, Panel
from thalweg.figures.style import (
    FAINT,
    FEW,
    GRID_MAP,
    INK,
    MARKERS,
    MUTED,
    THIN,
    Style,
    categories,
    color_map,
    on_map,
)
from thalweg.figures.ticks import levels, log_labels, numerals

_LINE = 1.6

MATH = ("$^{", "}$")  # what sets an exponent


def draw(axes: Axes, mark: Mark, panel: Panel, style: Style, norm: Normalize, *, zorder: float) -> Any:
    """Draw one mark; what it returns can stand in a legend or carry a color bar."""
    if isinstance(mark, Line):
        return _line(axes, mark, panel, style, zorder)
    if isinstance(mark, Scatter):
        return _scatter(axes, mark, panel, style, norm, zorder)
    if isinstance(mark, TrajectoryLine):
        return _trajectory(axes, mark, panel, style, zorder)
    if isinstance(mark, Bars):
        return _bars(axes, mark, panel, style, zorder)
    if isinstance(mark, Histogram):
        look_of = {
            "facecolor": mpl.colors.to_rgba(style.color, 0.3), "edgecolor": style.color, "linewidth": 1.0,
            "hatch": style.hatch * 2, "hatchcolor": style.color,
        }  # fmt: skip
        axes.stairs(mark.heights, mark.edges, fill=True, zorder=zorder, **look_of)
        return Patch(**look_of)
    if isinstance(mark, Density):
        x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
        axes.fill_between(x, floor(panel), y, color=style.color, alpha=0.2, lw=0, zorder=zorder - 0.05)
        return axes.plot(x, y, color=style.color, linestyle=_dash(style), linewidth=_LINE, zorder=zorder)[0]
    if isinstance(mark, HeatMap):
        z = np.ma.masked_invalid(drawable(mark.z, panel.z or Axis()))
        edges = _edges(mark.x, panel.x), _edges(mark.y, panel.y)
        return axes.pcolormesh(*edges, z, cmap=GRID_MAP, norm=norm, rasterized=True, zorder=zorder)
    if isinstance(mark, Contour):
        return _contour(axes, mark, panel, zorder)
    return _rule(axes, mark, panel) if isinstance(mark, ReferenceLine) else None


def _edges(centers: Any, axis: Axis) -> Any:
    """Where the cells around these centers end: halfway between them, as the axis measures it."""
    middle = np.log10(centers) if axis.scale == "log" else np.asarray(centers, dtype=float)
    steps = np.diff(middle) if len(middle) > 1 else np.ones(1)
    edges = np.concatenate(
        [middle[:1] - steps[:1] / 2, middle[:-1] + steps[: len(middle) - 1] / 2, middle[-1:] + steps[-1:] / 2]
    )
    return 10.0**edges if axis.scale == "log" else edges


def _line(axes: Axes, mark: Line, panel: Panel, style: Style, zorder: float) -> Any:
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    if mark.low is not None:
        low, high = band(mark, panel)
        axes.fill_between(x, low, high, color=style.color, alpha=0.2, linewidth=0, zorder=zorder - 0.05)
        single = alone(x, low, high)
        if single.any():
            axes.vlines(x[single], low[single], high[single], color=style.color, alpha=0.4, zorder=zorder - 0.05)
    effects = [withStroke(linewidth=_LINE + 2, foreground="white")] if on_map(panel) else None
    pointed = np.arange(len(x)) if len(x) <= FEW and not mark.thin else np.flatnonzero(alone(x, y))
    return axes.plot(
        x, y, color=style.color, linestyle=_dash(style), linewidth=THIN * _LINE if mark.thin else _LINE,
        alpha=FAINT if mark.thin else None, path_effects=effects, zorder=zorder,
        marker=MARKERS[style.marker] if len(pointed) else None, markevery=pointed.tolist(), markersize=4,
    )[0]  # fmt: skip


def _scatter(axes: Axes, mark: Scatter, panel: Panel, style: Style, norm: Normalize, zorder: float) -> Any:
    x, y = points(mark, panel)
    if mark.error is not None:
        color = style.color if mark.color is None else MUTED
        axes.errorbar(x, y, mark.error, fmt="none", ecolor=color, elinewidth=1, capsize=2, zorder=zorder)
    given: dict[str, Any] = {"color": style.color}
    if mark.color is not None:
        given = {"c": drawable(mark.color, panel.z or Axis()), "norm": norm, "cmap": color_map(panel)}
    given |= {"edgecolors": "white", "linewidths": 0.5}
    if mark.hollow:
        given |= {"color": None, "facecolors": "none", "edgecolors": style.color, "linewidths": 1.2}
    return axes.scatter(x, y, s=mark.size**2, marker=MARKERS[style.marker], zorder=zorder, **given)


def _trajectory(axes: Axes, mark: TrajectoryLine, panel: Panel, style: Style, zorder: float) -> Any:
    """A trajectory, with a dot at its end."""
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    return axes.plot(
        x, y, color=style.color, linestyle=_dash(style), linewidth=_LINE - 0.4, zorder=zorder,
        marker=MARKERS[style.marker], markevery=reached(x, y), markersize=7, markeredgecolor="white",
    )[0]  # fmt: skip


def _bars(axes: Axes, mark: Bars, panel: Panel, style: Style, zorder: float) -> Any:
    names = categories(panel)
    sets = [other for other in panel.marks if isinstance(other, Bars)]
    width = 0.7 / len(sets)
    shift = (next(i for i, other in enumerate(sets) if other is mark) - (len(sets) - 1) / 2) * width
    at = np.array([names.index(label) for label in mark.labels]) + shift
    values = drawable(mark.values, panel.y)
    drawn = axes.bar(at, values, width, color=style.color, hatch=style.hatch * 2, linewidth=0, zorder=zorder)
    if mark.low is not None:
        # Not by errorbar, which measures from the value: an interval need not hold it.
        low, high = band(mark, panel)
        whole = np.isfinite(values) & np.isfinite(low) & np.isfinite(high)
        at, low, high = at[whole], low[whole], high[whole]
        axes.vlines(at, low, high, colors=INK, linewidth=1, zorder=zorder + 0.05)
        for end in (low, high):
            axes.plot(at, end, linestyle="none", marker="_", markersize=6, color=INK, zorder=zorder + 0.05)
    return drawn


def _contour(axes: Axes, mark: Contour, panel: Panel, zorder: float) -> Any:
    axis = panel.z or Axis()
    chosen = levels(mark, axis)
    if not len(chosen):
        return None
    z = np.ma.masked_invalid(drawable(mark.z, axis))
    at = chosen
    if axis.scale == "log":  # between points the logarithm is what is straight
        z, at = np.ma.log10(z), np.log10(chosen)
    bare = not on_map(panel)
    color = INK if bare else "white"
    width = 0.9 if bare else 0.7
    drawn = axes.contour(
        mark.x, mark.y, z, levels=at, colors=color, linewidths=width, linestyles="solid", zorder=zorder
    )
    written = (log_labels if axis.scale == "log" else numerals)(chosen, *MATH)
    axes.clabel(drawn, fontsize=7, fmt=dict(zip(drawn.levels, written, strict=True)))
    return drawn


def _rule(axes: Axes, mark: ReferenceLine, panel: Panel) -> Any:
    if not crosses(mark, panel):
        return None
    flat = mark.direction == "horizontal"
    above = 2 + len(panel.marks) / 10  # bars and maps would hide it, and in Plotly it is above all marks too
    drawn = (axes.axhline if flat else axes.axvline)(
        mark.value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=above
    )
    if mark.label:
        place = (1.0, mark.value) if flat else (mark.value, 0.99)
        axes.annotate(
            plain(mark.label), place, xycoords=axes.get_yaxis_transform() if flat else axes.get_xaxis_transform(),
            xytext=(0, 2) if flat else (-2, 0), textcoords="offset points", color=MUTED, fontsize=8,
            ha="right", va="bottom" if flat else "top", rotation=0 if flat else 90, zorder=above,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    return drawn


def _dash(style: Style) -> Any:
    return (0, style.dash) if style.dash else "-"


def plain(text: str) -> str:
    """Text as text: Matplotlib would read formulas between dollar signs."""
    return text.replace("$", r"\$")
