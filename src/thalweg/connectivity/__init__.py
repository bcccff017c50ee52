"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.alignment import (
    ActivationMatching,
    Alignment,
    StraightThrough,
    WeightMatching,
    align,
    align_together,
)

__all__ = ["ActivationMatching", "Alignment", "StraightThrough", "WeightMatching", "align", "align_together"]
