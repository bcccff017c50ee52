"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.alignment import (
    ActivationMatching,
    Alignment,
    StraightThrough,
    WeightMatching,
    align,
    align_together,
)
from thalweg.connectivity.auto_neb import auto_neb
from thalweg.connectivity.averaging import Averaged, averaged
from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.between import between
from thalweg.connectivity.between_result import Between
from thalweg.connectivity.bezier import bezier
from thalweg.connectivity.curve import Curve, curve_schedule
from thalweg.connectivity.descent import Descended, Found, descend
from thalweg.connectivity.fast_ensemble import FastEnsemble, fast_ensemble, triangular
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure
from thalweg.connectivity.plane import Plane, plane
from thalweg.connectivity.polygonal import polygonal
from thalweg.connectivity.repair import layers_repaired, repaired
from thalweg.connectivity.simplex import Simplex, simplex
from thalweg.connectivity.spanning_tree import SpanningTree, spanning_tree
from thalweg.connectivity.string import string
from thalweg.connectivity.string_curve import StringCurve

__all__ = [
    "ActivationMatching",
    "Alignment",
    "Averaged",
    "Barrier",
    "Between",
    "Curve",
    "Descended",
    "FastEnsemble",
    "Found",
    "Instability",
    "Plane",
    "Simplex",
    "SpanningTree",
    "StraightThrough",
    "StringCurve",
    "WeightMatching",
    "align",
    "align_together",
    "auto_neb",
    "averaged",
    "barrier",
    "between",
    "bezier",
    "curve_schedule",
    "descend",
    "fast_ensemble",
    "instability",
    "instability_figure",
    "layers_repaired",
    "plane",
    "polygonal",
    "repaired",
    "simplex",
    "spanning_tree",
    "string",
    "triangular",
]
