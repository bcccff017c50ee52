"""Implicit regularization: which of the solutions that fit equally well a method of training ends at."""

from thalweg.generalization.implicit.limit_points import LimitPoints, limit_points

__all__ = ["LimitPoints", "limit_points"]
