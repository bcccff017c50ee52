"""Paths between networks: lines, curves, permutations, and where training parts ways."""

from thalweg.connectivity.bezier import bezier
from thalweg.connectivity.curve import Curve, curve_schedule
from thalweg.connectivity.descent import Descended, Found, descend
from thalweg.connectivity.polygonal import polygonal

__all__ = ["Curve", "Descended", "Found", "bezier", "curve_schedule", "descend", "polygonal"]
