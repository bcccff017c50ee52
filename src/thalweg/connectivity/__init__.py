"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.averaging import Averaged, averaged
from thalweg.connectivity.barrier import Barrier, barrier
from thalweg.connectivity.plane import Plane, plane

__all__ = ["Averaged", "Barrier", "Plane", "averaged", "barrier", "plane"]
