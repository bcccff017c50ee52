"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure

__all__ = ["Barrier", "Instability", "barrier", "instability", "instability_figure"]
