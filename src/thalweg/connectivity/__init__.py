"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.averaging import Averaged, averaged
from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.instability import instability
from thalweg.connectivity.instability_result import Instability, instability_figure
from thalweg.connectivity.plane import Plane, plane

__all__ = [
    "Averaged",
    "Barrier",
    "Instability",
    "Plane",
    "averaged",
    "barrier",
    "instability",
    "instability_figure",
    "plane",
]
