"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk.dynamics import gradient_descent, gradient_flow
from thalweg.ntk.dynamics_losses import descend
from thalweg.ntk.dynamics_path import Path
from thalweg.ntk.dynamics_steps import predicted_steps
from thalweg.ntk.ensemble import ensemble
from thalweg.ntk.linearized import Linearized, linearized
from thalweg.ntk.posterior import Posterior, posterior
from thalweg.ntk.regression import accuracy, classify, one_hot, regression

__all__ = [
    "Linearized",
    "Path",
    "Posterior",
    "accuracy",
    "classify",
    "descend",
    "ensemble",
    "gradient_descent",
    "gradient_flow",
    "linearized",
    "one_hot",
    "posterior",
    "predicted_steps",
    "regression",
]
