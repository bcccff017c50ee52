"""What training and architectures prefer: low frequencies, linear parts, simple and smooth functions, symmetries."""

from thalweg.generalization.simplicity.error_parts import error_parts, half_time, kernel_half_times
from thalweg.generalization.simplicity.function_prior import FunctionPrior, function_prior
from thalweg.generalization.simplicity.information import corrupted, explained_share, mutual_information
from thalweg.generalization.simplicity.lempel_ziv import complexity, lempel_ziv_words
from thalweg.generalization.simplicity.linear_first import LinearFirst, best_linear, linear_first
from thalweg.generalization.simplicity.random_functions import random_functions

__all__ = [
    "FunctionPrior",
    "LinearFirst",
    "best_linear",
    "complexity",
    "corrupted",
    "error_parts",
    "explained_share",
    "function_prior",
    "half_time",
    "kernel_half_times",
    "lempel_ziv_words",
    "linear_first",
    "mutual_information",
    "random_functions",
]
