"""Implicit regularization: which of the solutions that fit equally well a method of training ends at."""

from thalweg.generalization.implicit.diagonal_linear import DiagonalLinear, effective_coefficients, sparse_linear
from thalweg.generalization.implicit.early_stopping_path import EarlyStoppingPath, early_stopping_path
from thalweg.generalization.implicit.gradient_noise import GradientNoise, gradient_noise, sgd_noise_scale
from thalweg.generalization.implicit.gradient_penalty import GradientPenalty, gradient_penalty
from thalweg.generalization.implicit.limit_points import LimitPoints, limit_points
from thalweg.generalization.implicit.loss_functions import loss_functions
from thalweg.generalization.implicit.max_margin import MaxMargin, hard_margin, max_margin
from thalweg.generalization.implicit.one_step_error import OneStepError, one_step_error
from thalweg.generalization.implicit.scale_of_initialization import relative_movement, scale_of_initialization
from thalweg.generalization.implicit.stationary_variance import (
    simulated_variance,
    stationary_variance,
    variance_over_steps,
)

__all__ = [
    "DiagonalLinear",
    "EarlyStoppingPath",
    "GradientNoise",
    "GradientPenalty",
    "LimitPoints",
    "MaxMargin",
    "OneStepError",
    "early_stopping_path",
    "effective_coefficients",
    "gradient_noise",
    "gradient_penalty",
    "hard_margin",
    "limit_points",
    "loss_functions",
    "max_margin",
    "one_step_error",
    "relative_movement",
    "scale_of_initialization",
    "sgd_noise_scale",
    "simulated_variance",
    "sparse_linear",
    "stationary_variance",
    "variance_over_steps",
]
