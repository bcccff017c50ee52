"""When test error follows training error, and when not: a room for each section of the lecture."""

from thalweg.generalization import bias_variance, double_descent, grokking, simplicity

__all__ = ["bias_variance", "double_descent", "grokking", "simplicity"]
