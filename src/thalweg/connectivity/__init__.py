"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.barrier import Barrier, barrier

__all__ = ["Barrier", "barrier"]
