"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.alignment import (
    ActivationMatching,
    Alignment,
    StraightThrough,
    WeightMatching,
    align,
    align_together,
)
from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure
from thalweg.connectivity.repair import layers_repaired, repaired

__all__ = [
    "ActivationMatching",
    "Alignment",
    "Barrier",
    "Instability",
    "StraightThrough",
    "WeightMatching",
    "align",
    "align_together",
    "barrier",
    "instability",
    "instability_figure",
    "layers_repaired",
    "repaired",
]
