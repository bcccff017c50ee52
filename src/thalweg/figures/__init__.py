"""What to draw, free of any plotting library: marks, axes, panels, figures; two renderers draw it."""

from thalweg.figures.figure import Figure
from thalweg.figures.marks import (
    Bars,
    Contour,
    Density,
    HeatMap,
    Histogram,
    Line,
    ReferenceLine,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
)
from thalweg.figures.of_intervals import interval_bars, interval_line
from thalweg.figures.panel import Axis, Panel

__all__ = [
    "Axis",
    "Bars",
    "Contour",
    "Density",
    "Figure",
    "HeatMap",
    "Histogram",
    "Line",
    "Panel",
    "ReferenceLine",
    "Scatter",
    "SurfacePlot",
    "TrajectoryLine",
    "interval_bars",
    "interval_line",
]
