"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.alignment import (
    ActivationMatching,
    Alignment,
    StraightThrough,
    WeightMatching,
    align,
    align_together,
)
from thalweg.connectivity.repair import layers_repaired, repaired

__all__ = [
    "ActivationMatching",
    "Alignment",
    "StraightThrough",
    "WeightMatching",
    "align",
    "align_together",
    "layers_repaired",
    "repaired",
]
