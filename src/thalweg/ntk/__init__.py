"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training.

Of a model, one begins with `empirical`, `infinite` and `regime`; of kernels, with `classify`, `gradient_descent`,
`posterior`, `bounds` and `scores`. The modules `spatial`, `pooling`, `normalization`, `attention` and
`attention_softmax` are the recursions of single layers that `infinite` is made of, for who writes one by hand.
`empirical_kernels` gives as tensors what `empirical` gives as a result; `operator` the same as products with vectors.
"""

from thalweg.ntk import attention, attention_softmax, normalization, pooling, scores, spatial
from thalweg.ntk.architecture_scores import ArchitectureScores, architecture_scores
from thalweg.ntk.bounds import KernelBounds, bounds
from thalweg.ntk.dual import Dual, Hermite, dual_of, hermite
from thalweg.ntk.dynamics import gradient_descent, gradient_flow
from thalweg.ntk.dynamics_flow import flow
from thalweg.ntk.dynamics_losses import descend
from thalweg.ntk.dynamics_path import Path
from thalweg.ntk.dynamics_steps import predicted_steps
from thalweg.ntk.eigenlearning import Eigenlearning, eigenlearning, eigenmodes
from thalweg.ntk.empirical import empirical
from thalweg.ntk.empirical_cost import EmpiricalCost, empirical_cost
from thalweg.ntk.empirical_kernel import EmpiricalKernel
from thalweg.ntk.empirical_kernels import empirical_kernels
from thalweg.ntk.ensemble import ensemble
from thalweg.ntk.extremes import Extremes, extremes
from thalweg.ntk.infinite import Infinite, infinite
from thalweg.ntk.limit_kernels import Kernels
from thalweg.ntk.linearized import Linearized, linearized
from thalweg.ntk.operator import operator
from thalweg.ntk.posterior import Posterior, posterior
from thalweg.ntk.projection import Projection, projection
from thalweg.ntk.recursion import KernelsOverDepth, over_depth
from thalweg.ntk.regime import regime
from thalweg.ntk.regime_verdict import Regime
from thalweg.ntk.regression import accuracy, classify, one_hot, regression
from thalweg.ntk.solving import Solution, solve

__all__ = [
    "ArchitectureScores",
    "Dual",
    "Eigenlearning",
    "EmpiricalCost",
    "EmpiricalKernel",
    "Extremes",
    "Hermite",
    "Infinite",
    "KernelBounds",
    "Kernels",
    "KernelsOverDepth",
    "Linearized",
    "Path",
    "Posterior",
    "Projection",
    "Regime",
    "Solution",
    "accuracy",
    "architecture_scores",
    "attention",
    "attention_softmax",
    "bounds",
    "classify",
    "descend",
    "dual_of",
    "eigenlearning",
    "eigenmodes",
    "empirical",
    "empirical_cost",
    "empirical_kernels",
    "ensemble",
    "extremes",
    "flow",
    "gradient_descent",
    "gradient_flow",
    "hermite",
    "infinite",
    "linearized",
    "normalization",
    "one_hot",
    "operator",
    "over_depth",
    "pooling",
    "posterior",
    "predicted_steps",
    "projection",
    "regime",
    "regression",
    "scores",
    "solve",
    "spatial",
]
