"""Intervals over few seeds: bootstrap, Student's t, crossed, bounded, the smaller of two; rank correlations, powers."""

from thalweg.statistics import interval, student_t
from thalweg.statistics.interval import (
    Interval,
    bounded,
    crossed,
    difference,
    fraction,
    geometric_mean,
    mean,
    ratio,
    ratio_of_times,
    smaller,
    units_to_clear,
)
from thalweg.statistics.power_law import exponents
from thalweg.statistics.rank_correlation import kendall, spearman
from thalweg.statistics.standard_error import standard_error

__all__ = [
    "Interval",
    "bounded",
    "crossed",
    "difference",
    "exponents",
    "fraction",
    "geometric_mean",
    "interval",
    "kendall",
    "mean",
    "ratio",
    "ratio_of_times",
    "smaller",
    "spearman",
    "standard_error",
    "student_t",
    "units_to_clear",
]
