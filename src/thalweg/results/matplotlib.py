"""Figures as Matplotlib's: vectors for papers, in the same colors, dashes and levels as on the page."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from thalweg.results.figure import Axis, Figure
from thalweg.results.marks import (
    Bars,
    Contour,
    Density,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Rule,
    Scatter,
    Surface,
    Trajectory,
)
from thalweg.results.style import (
    FEW,
    GRID,
    GRID_MAP,
    INK,
    MARKERS,
    MUTED,
    POINT_MAP,
    Style,
    band,
    categories,
    colors_by_value,
    decades,
    drawable,
    levels,
    named_once,
    power,
    styles,
)

_WIDTH, _HEIGHT = 5.2, 3.5  # inches of one panel: the text width of a page, in which 10 pt letters stay 10 pt
_LINE = 1.6

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


def look() -> AbstractContextManager[None]:
    """Matplotlib's settings for one of our figures; the user's own are back afterwards."""
    return mpl.rc_context(_LOOK)


def render(figure: Figure) -> Canvas:
    """The figure in Matplotlib, outside pyplot's list of open figures."""
    panels = figure.parts
    with look():
        canvas = Canvas(figsize=(_WIDTH if len(panels) == 1 else 4.0 * len(panels), _HEIGHT), layout="constrained")
        handles: dict[str, Any] = {}
        for index, panel in enumerate(panels):
            if any(isinstance(mark, Surface) for mark in panel.marks):
                _space(canvas, index, len(panels), panel)
            else:
                axes = canvas.add_subplot(1, len(panels), index + 1)
                _panel(axes, panel, styles(figure)[index], named_once(figure)[index], handles)
        if figure.panels and figure.title:
            canvas.suptitle(_text(figure.title), x=0.01, ha="left")
        if handles:
            _legend(canvas, handles)
    return canvas


def save(figure: Figure, path: Path) -> None:
    """Write a .pdf, .svg or .png; the same figure gives the same bytes."""
    kind = path.suffix.lower()
    metadata = {
        ".pdf": {"Title": figure.title, "Subject": figure.description, "CreationDate": None},
        ".svg": {"Title": figure.title, "Description": figure.description, "Date": None},
        ".png": {"Title": figure.title, "Description": figure.description},
    }[kind]
    with look():
        # Viewers show a transparent PNG on black; in a document the page's ground should show.
        render(figure).savefig(path, dpi=200, metadata=metadata, transparent=kind != ".png")


def _panel(axes: Axes, panel: Figure, looks: list[Style], named: list[bool], handles: dict[str, Any]) -> None:
    gridded = any(isinstance(mark, HeatMap | Contour) for mark in panel.marks)
    _scales(axes, panel)
    norm, ends = _norm(panel)
    shaded = None
    for level, (mark, style, fresh) in enumerate(zip(panel.marks, looks, named, strict=True)):
        drawn = _draw(axes, mark, panel, style, norm, zorder=2 + level / 10)
        shaded = drawn if colors_by_value(mark) else shaded
        if fresh:
            handles[mark.label] = drawn
    if not gridded:
        axes.grid(visible=True, axis="y" if categories(panel) else "both")
    if shaded is not None:
        bar = axes.figure.colorbar(shaded, ax=axes, label=_text((panel.z or Axis()).text), fraction=0.05, pad=0.02)
        if isinstance(norm, LogNorm):
            ticks = decades(*ends).tolist()
            bar.set_ticks(ticks, labels=[_plain(tick) for tick in ticks], minor=False)
            bar.minorticks_off()
    axes.set_title(_text(panel.title), loc="left")
    axes.set_xlabel(_text(panel.x.text))
    axes.set_ylabel(_text(panel.y.text))


def _edges(centers: Any, axis: Axis) -> Any:
    """Where the cells around these centers end: halfway between them, as the axis measures it."""
    middle = np.log10(centers) if axis.scale == "log" else np.asarray(centers, dtype=float)
    steps = np.diff(middle) if len(middle) > 1 else np.ones(1)
    edges = np.concatenate(
        [middle[:1] - steps[:1] / 2, middle[:-1] + steps[: len(middle) - 1] / 2, middle[-1:] + steps[-1:] / 2]
    )
    return 10.0**edges if axis.scale == "log" else edges


def _scales(axes: Axes, panel: Figure) -> None:
    names = categories(panel)
    if names:
        axes.set_xticks(range(len(names)), [_text(name) for name in names])
        if sum(map(len, names)) > 40:
            axes.tick_params("x", rotation=30)
            for tick in axes.get_xticklabels():
                tick.set_horizontalalignment("right")
    else:
        axes.set_xscale(panel.x.scale)
    axes.set_yscale(panel.y.scale)
    if panel.x.limits is not None:
        axes.set_xlim(panel.x.limits)
    if panel.y.limits is not None:
        axes.set_ylim(panel.y.limits)


def _draw(axes: Axes, mark: Mark, panel: Figure, style: Style, norm: Normalize, *, zorder: float) -> Any:
    """Draw one mark; what it returns can stand in a legend or carry a color bar."""
    if isinstance(mark, Line):
        return _line(axes, mark, panel, style, zorder)
    if isinstance(mark, Scatter):
        return _scatter(axes, mark, panel, style, norm, zorder)
    if isinstance(mark, Trajectory):
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
        axes.fill_between(x, y, 0 if panel.y.scale == "linear" else np.nanmin(y), color=style.color, alpha=0.2, lw=0)
        return axes.plot(x, y, color=style.color, linestyle=_dash(style), linewidth=_LINE, zorder=zorder)[0]
    if isinstance(mark, HeatMap):
        z = np.ma.masked_invalid(drawable(mark.z, panel.z or Axis()))
        edges = _edges(mark.x, panel.x), _edges(mark.y, panel.y)
        return axes.pcolormesh(*edges, z, cmap=GRID_MAP, norm=norm, rasterized=True, zorder=zorder)
    if isinstance(mark, Contour):
        return _contour(axes, mark, panel, zorder)
    return _rule(axes, mark) if isinstance(mark, Rule) else None


def _line(axes: Axes, mark: Line, panel: Figure, style: Style, zorder: float) -> Any:
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    if mark.low is not None:
        low, high = band(mark, panel.y)
        axes.fill_between(x, low, high, color=style.color, alpha=0.2, linewidth=0, zorder=zorder - 1)
    on_grid = any(isinstance(other, HeatMap) for other in panel.marks)
    effects = [withStroke(linewidth=_LINE + 2, foreground="white")] if on_grid else None
    return axes.plot(
        x, y, color=style.color, linestyle=_dash(style), linewidth=_LINE, path_effects=effects, zorder=zorder,
        marker=MARKERS[style.marker] if len(x) <= FEW else None, markersize=4,
    )[0]  # fmt: skip


def _scatter(axes: Axes, mark: Scatter, panel: Figure, style: Style, norm: Normalize, zorder: float) -> Any:
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    if mark.error is not None:
        color = style.color if mark.color is None else MUTED
        axes.errorbar(x, y, mark.error, fmt="none", ecolor=color, elinewidth=1, capsize=2, zorder=zorder)
    given: dict[str, Any] = {"color": style.color}
    if mark.color is not None:
        on_grid = any(isinstance(other, HeatMap) for other in panel.marks)
        given = {"c": mark.color, "norm": norm, "cmap": GRID_MAP if on_grid else POINT_MAP}
    return axes.scatter(
        x, y, s=mark.size**2, marker=MARKERS[style.marker], edgecolors="white", linewidths=0.5, zorder=zorder, **given
    )


def _trajectory(axes: Axes, mark: Trajectory, panel: Figure, style: Style, zorder: float) -> Any:
    """A trajectory, with a dot at its end."""
    x, y = drawable(mark.x, panel.x), drawable(mark.y, panel.y)
    return axes.plot(
        x, y, color=style.color, linestyle=_dash(style), linewidth=_LINE - 0.4, zorder=zorder,
        marker=MARKERS[style.marker], markevery=[len(x) - 1], markersize=7, markeredgecolor="white",
    )[0]  # fmt: skip


def _bars(axes: Axes, mark: Bars, panel: Figure, style: Style, zorder: float) -> Any:
    names = categories(panel)
    sets = [other for other in panel.marks if isinstance(other, Bars)]
    width = 0.7 / len(sets)
    shift = (next(i for i, other in enumerate(sets) if other is mark) - (len(sets) - 1) / 2) * width
    at = np.array([names.index(label) for label in mark.labels]) + shift
    values = drawable(mark.values, panel.y)
    drawn = axes.bar(at, values, width, color=style.color, hatch=style.hatch * 2, linewidth=0, zorder=zorder)
    if mark.low is not None and mark.high is not None:
        ends = np.clip([mark.values - mark.low, mark.high - mark.values], 0, None)
        axes.errorbar(at, values, ends, fmt="none", ecolor=INK, elinewidth=1, capsize=3, zorder=zorder + 0.05)
    return drawn


def _contour(axes: Axes, mark: Contour, panel: Figure, zorder: float) -> Any:
    axis = panel.z or Axis()
    chosen = levels(mark, axis)
    if not len(chosen):
        return None
    alone = not any(isinstance(other, HeatMap) for other in panel.marks)
    color = INK if alone else "white"
    z = np.ma.masked_invalid(drawable(mark.z, axis))
    drawn = axes.contour(
        mark.x, mark.y, z, levels=chosen, colors=color, linewidths=0.9 if alone else 0.7, zorder=zorder
    )
    axes.clabel(drawn, fontsize=7, fmt=_plain)
    return drawn


def _rule(axes: Axes, mark: Rule) -> Any:
    flat = mark.direction == "horizontal"
    if (axes.get_yscale() if flat else axes.get_xscale()) == "log" and mark.value <= 0:
        return None
    draw = axes.axhline if flat else axes.axvline
    drawn = draw(mark.value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.9)
    if mark.label:
        place = (1.0, mark.value) if flat else (mark.value, 0.99)
        axes.annotate(
            _text(mark.label), place, xycoords=axes.get_yaxis_transform() if flat else axes.get_xaxis_transform(),
            xytext=(0, 2) if flat else (-2, 0), textcoords="offset points", color=MUTED, fontsize=8,
            ha="right", va="bottom" if flat else "top", rotation=0 if flat else 90,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    return drawn


def _space(canvas: Canvas, index: int, count: int, panel: Figure) -> None:
    """A panel in three dimensions. Matplotlib's have no log scale: the exponent is drawn, and the value written."""
    axes = canvas.add_subplot(1, count, index + 1, projection="3d")
    scales = (panel.x, panel.y, panel.z or Axis())
    for mark in panel.marks:
        assert isinstance(mark, Surface)  # a Figure lets nothing else beside one
        x, y, z = (
            _exponent(values, axis)
            for values, axis in zip((mark.x, mark.y, drawable(mark.z, scales[2])), scales, strict=True)
        )
        shown = z[np.isfinite(z)]
        if not len(shown):
            continue
        grid_x, grid_y = np.meshgrid(x, y)
        drawn = axes.plot_surface(
            grid_x, grid_y, z, cmap=GRID_MAP, rcount=z.shape[0], ccount=z.shape[1], linewidth=0, antialiased=False,
            rasterized=True, vmin=shown.min(), vmax=shown.max(),
        )  # fmt: skip
        if mark is panel.marks[0]:
            powers = _POWERS if scales[2].scale == "log" else None
            label = _text(scales[2].text)
            canvas.colorbar(drawn, ax=axes, label=label, fraction=0.04, pad=0.12, shrink=0.8, format=powers)
    axes.set_xlabel(_text(panel.x.text))
    axes.set_ylabel(_text(panel.y.text))  # the color bar names the third
    for axis, ours in zip((axes.xaxis, axes.yaxis, axes.zaxis), scales, strict=True):
        if ours.scale == "log":
            axis.set_major_formatter(_POWERS)
    axes.view_init(elev=30, azim=-50)
    axes.set_box_aspect((1, 1, 0.7), zoom=0.85)
    axes.set_title(_text(panel.title), loc="left")


def _plain(value: float) -> str:
    return power(value, "$^{", "}$").replace("\N{MINUS SIGN}", "-")  # which a formula turns into a minus itself


_POWERS = FuncFormatter(lambda exponent, _: _plain(10.0**exponent))


def _exponent(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    return np.log10(drawable(values, axis)) if axis.scale == "log" else values


def _norm(panel: Figure) -> tuple[Normalize, tuple[float, float]]:
    """One color scale for everything in a panel that shows values by color, and its ends."""
    axis = panel.z or Axis()
    shown = [
        drawable(np.asarray(mark.color if isinstance(mark, Scatter) else mark.z), axis).ravel()
        for mark in panel.marks
        if isinstance(mark, HeatMap | Scatter) and colors_by_value(mark)
    ]
    values = np.concatenate(shown) if shown else np.array([])
    values = values[np.isfinite(values)]
    low, high = axis.limits or ((values.min(), values.max()) if len(values) else (1.0, 10.0))
    return (LogNorm if axis.scale == "log" else Normalize)(low, high), (float(low), float(high))


def _legend(canvas: Canvas, handles: dict[str, Any]) -> None:
    labels = [_text(label) for label in handles]
    letters = canvas.get_figwidth() * 11  # of 9 pt, in one line
    columns = max(1, min(len(labels), int(letters / (max(map(len, labels)) + 6))))
    canvas.legend(
        list(handles.values()), labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2
    )


def _dash(style: Style) -> Any:
    return (0, style.dash) if style.dash else "-"


def _text(text: str) -> str:
    """Text as text: Matplotlib would read formulas between dollar signs."""
    return text.replace("$", r"\$")
