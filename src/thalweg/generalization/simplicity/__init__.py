"""What training and architectures prefer: low frequencies, linear parts, simple and smooth functions, symmetries."""

from thalweg.generalization.simplicity.function_prior import FunctionPrior, function_prior
from thalweg.generalization.simplicity.lempel_ziv import complexity, lempel_ziv_words
from thalweg.generalization.simplicity.random_functions import random_functions

__all__ = ["FunctionPrior", "complexity", "function_prior", "lempel_ziv_words", "random_functions"]
