"""When test error follows training error, and when not: a room for each section of the lecture."""

from thalweg.generalization import bias_variance, bounds, double_descent, grokking, implicit, simplicity
from thalweg.generalization.random_labels import Memorization, memorization

__all__ = [
    "Memorization",
    "bias_variance",
    "bounds",
    "double_descent",
    "grokking",
    "implicit",
    "memorization",
    "simplicity",
]
