"""Intervals over few seeds: means within bounds, ratios, crossed, worst-case; rank correlations, powers, own tuning."""

from thalweg.statistics import interval, student_t
from thalweg.statistics.ball import distance_of_mean
from thalweg.statistics.interval import (
    ANYTHING,
    CORRELATION,
    POSITIVE,
    SHARE,
    Bounds,
    Interval,
    bounded,
    crossed,
    difference,
    fraction,
    geometric_mean,
    mean,
    ratio,
    ratio_of_times,
)
from thalweg.statistics.own_tuning import own_choices, taken
from thalweg.statistics.power_law import exponents
from thalweg.statistics.rank_correlation import kendall, spearman
from thalweg.statistics.rank_interval import rank_correlation
from thalweg.statistics.standard_error import standard_error
from thalweg.statistics.student_t import COVERED, LEVEL
from thalweg.statistics.units_to_clear import units_to_clear

__all__ = [
    "ANYTHING",
    "CORRELATION",
    "COVERED",
    "LEVEL",
    "POSITIVE",
    "SHARE",
    "Bounds",
    "Interval",
    "bounded",
    "crossed",
    "difference",
    "distance_of_mean",
    "exponents",
    "fraction",
    "geometric_mean",
    "interval",
    "kendall",
    "mean",
    "own_choices",
    "rank_correlation",
    "ratio",
    "ratio_of_times",
    "spearman",
    "standard_error",
    "student_t",
    "taken",
    "units_to_clear",
]
