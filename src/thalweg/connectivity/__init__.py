"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.alignment import (
    ActivationMatching,
    Alignment,
    StraightThrough,
    WeightMatching,
    align,
    align_together,
)
from thalweg.connectivity.averaging import Averaged, averaged
from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.bezier import bezier
from thalweg.connectivity.curve import Curve, curve_schedule
from thalweg.connectivity.descent import Descended, Found, descend
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure
from thalweg.connectivity.plane import Plane, plane
from thalweg.connectivity.polygonal import polygonal
from thalweg.connectivity.repair import layers_repaired, repaired
from thalweg.connectivity.simplex import Simplex, simplex

__all__ = [
    "ActivationMatching",
    "Alignment",
    "Averaged",
    "Barrier",
    "Curve",
    "Descended",
    "Found",
    "Instability",
    "Plane",
    "Simplex",
    "StraightThrough",
    "WeightMatching",
    "align",
    "align_together",
    "averaged",
    "barrier",
    "bezier",
    "curve_schedule",
    "descend",
    "instability",
    "instability_figure",
    "layers_repaired",
    "plane",
    "polygonal",
    "repaired",
    "simplex",
]
