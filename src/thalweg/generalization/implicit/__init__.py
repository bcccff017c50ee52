"""Implicit regularization: which of the solutions that fit equally well a method of training ends at."""

from thalweg.generalization.implicit.early_stopping_path import EarlyStoppingPath, early_stopping_path
from thalweg.generalization.implicit.limit_points import LimitPoints, limit_points
from thalweg.generalization.implicit.max_margin import MaxMargin, hard_margin, max_margin
from thalweg.generalization.implicit.stationary_variance import (
    simulated_variance,
    stationary_variance,
    variance_over_steps,
)

__all__ = [
    "EarlyStoppingPath",
    "LimitPoints",
    "MaxMargin",
    "early_stopping_path",
    "hard_margin",
    "limit_points",
    "max_margin",
    "simulated_variance",
    "stationary_variance",
    "variance_over_steps",
]
