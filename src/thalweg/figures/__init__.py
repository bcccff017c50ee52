"""What to draw, free of any plotting library: marks, axes, panels, figures; two renderers draw it."""

from thalweg.figures.figure import Axis, Figure
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

__all__ = [
    "Axis",
    "Bars",
    "Contour",
    "Density",
    "Figure",
    "HeatMap",
    "Histogram",
    "Line",
    "ReferenceLine",
    "Scatter",
    "SurfacePlot",
    "TrajectoryLine",
]
