"""Double descent: test error over the number of features, of examples, of steps, and of parameters."""

from thalweg.generalization.double_descent.features import FourierFeatures, ReluFeatures
from thalweg.generalization.double_descent.least_squares import LeastSquares, least_squares

__all__ = [
    "FourierFeatures",
    "LeastSquares",
    "ReluFeatures",
    "least_squares",
]
