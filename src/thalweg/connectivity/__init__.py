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
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure
from thalweg.connectivity.plane import Plane, plane
from thalweg.connectivity.repair import layers_repaired, repaired

__all__ = [
    "ActivationMatching",
    "Alignment",
    "Averaged",
    "Barrier",
    "Instability",
    "Plane",
    "StraightThrough",
    "WeightMatching",
    "align",
    "align_together",
    "averaged",
    "barrier",
    "instability",
    "instability_figure",
    "layers_repaired",
    "plane",
    "repaired",
]
