"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk.dynamics import gradient_descent, gradient_flow
from thalweg.ntk.dynamics_losses import descend
from thalweg.ntk.dynamics_path import Path
from thalweg.ntk.dynamics_steps import predicted_steps
from thalweg.ntk.linearized import Linearized, linearized

__all__ = [
    "Linearized",
    "Path",
    "descend",
    "gradient_descent",
    "gradient_flow",
    "linearized",
    "predicted_steps",
]
