"""Intervals over few seeds: bootstrap, Student's t, crossed samples, fractions."""

from thalweg.statistics import interval
from thalweg.statistics.interval import Interval

__all__ = ["Interval", "interval"]
