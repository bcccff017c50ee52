"""When test error follows training error, and when not: a room for each section of the lecture."""

from thalweg.generalization import bias_variance, bounds, double_descent, grokking, implicit, simplicity

__all__ = ["bias_variance", "bounds", "double_descent", "grokking", "implicit", "simplicity"]
