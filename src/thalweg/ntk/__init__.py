"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import attention, attention_softmax, pooling, spatial

__all__ = ["attention", "attention_softmax", "pooling", "spatial"]
from thalweg.ntk import pooling, spatial
from thalweg.ntk.dual import Dual, Hermite, dual_of, hermite
from thalweg.ntk.infinite import Infinite, Kernels, infinite

__all__ = ["Dual", "Hermite", "dual_of", "hermite"]
__all__ = ["Dual", "Hermite", "Infinite", "Kernels", "dual_of", "hermite", "infinite", "pooling", "spatial"]
from thalweg.ntk.empirical_kernels import empirical_kernels

__all__ = ["empirical_kernels"]
from thalweg.ntk import scores
from thalweg.ntk.extremes import Extremes, extremes
from thalweg.ntk.operator import operator
from thalweg.ntk.projection import Projection, projection
from thalweg.ntk.solving import Solution, solve

__all__ = ["Extremes", "Projection", "Solution", "extremes", "operator", "projection", "scores", "solve"]
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
