"""Intervals over few seeds: bootstrap, Student's t, crossed samples, bounded values, the smaller of two."""

from thalweg.statistics import interval, student_t
from thalweg.statistics.interval import (
    Interval,
    bounded,
    crossed,
    difference,
    fraction,
    mean,
    ratio,
    ratio_of_times,
    smaller,
    units_to_clear,
)
from thalweg.statistics.standard_error import standard_error

__all__ = [
    "Interval",
    "bounded",
    "crossed",
    "difference",
    "fraction",
    "interval",
    "mean",
    "ratio",
    "ratio_of_times",
    "smaller",
    "standard_error",
    "student_t",
    "units_to_clear",
]
