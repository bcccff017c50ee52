"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import attention, attention_softmax, normalization, pooling, scores, spatial
from thalweg.ntk.dual import Dual, Hermite, dual_of, hermite
from thalweg.ntk.dynamics import gradient_descent, gradient_flow
from thalweg.ntk.dynamics_losses import descend
from thalweg.ntk.dynamics_path import Path
from thalweg.ntk.dynamics_steps import predicted_steps
from thalweg.ntk.empirical_kernels import empirical_kernels
from thalweg.ntk.ensemble import ensemble
from thalweg.ntk.extremes import Extremes, extremes
from thalweg.ntk.infinite import Infinite, Kernels, infinite
from thalweg.ntk.linearized import Linearized, linearized
from thalweg.ntk.operator import operator
from thalweg.ntk.posterior import Posterior, posterior
from thalweg.ntk.projection import Projection, projection
from thalweg.ntk.regression import accuracy, classify, one_hot, regression
from thalweg.ntk.solving import Solution, solve

__all__ = [
    "Dual",
    "Extremes",
    "Hermite",
    "Infinite",
    "Kernels",
    "Linearized",
    "Path",
    "Posterior",
    "Projection",
    "Solution",
    "accuracy",
    "attention",
    "attention_softmax",
    "classify",
    "descend",
    "dual_of",
    "empirical_kernels",
    "ensemble",
    "extremes",
    "gradient_descent",
    "gradient_flow",
    "hermite",
    "infinite",
    "linearized",
    "normalization",
    "one_hot",
    "operator",
    "pooling",
    "posterior",
    "predicted_steps",
    "projection",
    "regression",
    "scores",
    "solve",
    "spatial",
]
