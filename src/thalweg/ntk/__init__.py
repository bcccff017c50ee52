"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk.extremes import Extremes, extremes
from thalweg.ntk.operator import operator
from thalweg.ntk.solving import Solution, solve

__all__ = ["Extremes", "Solution", "extremes", "operator", "solve"]
