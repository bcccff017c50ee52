"""Panels in three dimensions in Matplotlib, which has no log scale there: the exponent is drawn, the value written."""

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from thalweg.figures.limits import color_ends, drawable
from thalweg.figures.marks import SurfacePlot
from thalweg.figures.panel import Axis, Panel
from thalweg.figures.style import GRID_MAP
from thalweg.figures.ticks import power
from thalweg.figures.to_matplotlib.marks import MATH, plain

_POWERS = FuncFormatter(lambda exponent, _: power(10.0**exponent, *MATH).replace("\N{MINUS SIGN}", "-"))


def space(canvas: Canvas, place: tuple[int, int, int], panel: Panel) -> Any:
    """Draw the surfaces of a panel at its place (rows, columns, number), on one color scale."""
    axes = canvas.add_subplot(*place, projection="3d")
    scales = (panel.x, panel.y, panel.z or Axis())
    norm = Normalize(*_exponents(np.array(color_ends(panel)), scales[2]))
    for axis, ours in zip("xyz", scales, strict=True):
        if ours.limits is not None:
            getattr(axes, f"set_{axis}lim")(*_exponents(np.array(ours.limits), ours))
        if ours.scale == "log":
            getattr(axes, f"{axis}axis").set_major_formatter(_POWERS)
    for mark in panel.marks:
        assert isinstance(mark, SurfacePlot)  # a Figure lets nothing else beside one
        x, y, z = (
            _exponents(values, axis)
            for values, axis in zip((mark.x, mark.y, drawable(mark.z, scales[2])), scales, strict=True)
        )
        if not np.isfinite(z).any():
            continue
        grid_x, grid_y = np.meshgrid(x, y)
        axes.plot_surface(
            grid_x, grid_y, z, cmap=GRID_MAP, norm=norm, rcount=z.shape[0], ccount=z.shape[1], linewidth=0,
            antialiased=False, rasterized=True, axlim_clip=any(axis.limits is not None for axis in scales),
        )  # fmt: skip
    canvas.colorbar(
        ScalarMappable(norm, GRID_MAP), ax=axes, label=plain(scales[2].text), fraction=0.04, pad=0.12, shrink=0.8,
        format=_POWERS if scales[2].scale == "log" else None,
    )  # fmt: skip
    axes.set_xlabel(plain(panel.x.text))
    axes.set_ylabel(plain(panel.y.text))  # the color bar names the third
    axes.view_init(elev=30, azim=-50)
    axes.set_box_aspect((1, 1, 0.7), zoom=0.85)
    return axes


def _exponents(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    return np.log10(drawable(values, axis)) if axis.scale == "log" else values
