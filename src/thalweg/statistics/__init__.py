"""Intervals over few seeds: bootstrap, Student's t, crossed samples, fractions; rank correlations and power laws."""

from thalweg.statistics import interval
from thalweg.statistics.interval import Interval
from thalweg.statistics.power_law import exponents
from thalweg.statistics.rank_correlation import kendall, spearman

__all__ = ["Interval", "exponents", "interval", "kendall", "spearman"]
