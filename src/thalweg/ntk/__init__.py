"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import attention, attention_softmax, normalization, pooling, spatial
from thalweg.ntk.dual import Dual, Hermite, dual_of, hermite
from thalweg.ntk.infinite import Infinite, Kernels, infinite

__all__ = [
    "Dual",
    "Hermite",
    "Infinite",
    "Kernels",
    "attention",
    "attention_softmax",
    "dual_of",
    "hermite",
    "infinite",
from thalweg.ntk import scores
from thalweg.ntk.architecture_scores import ArchitectureScores, architecture_scores
from thalweg.ntk.bounds import KernelBounds, bounds
from thalweg.ntk.eigenlearning import Eigenlearning, eigenlearning, eigenmodes
from thalweg.ntk.empirical import empirical
from thalweg.ntk.empirical_cost import EmpiricalCost, empirical_cost
from thalweg.ntk.empirical_kernel import EmpiricalKernel
from thalweg.ntk.empirical_kernels import empirical_kernels
from thalweg.ntk.extremes import Extremes, extremes
from thalweg.ntk.operator import operator
from thalweg.ntk.projection import Projection, projection
from thalweg.ntk.rank import rank_correlation
from thalweg.ntk.regime import regime
from thalweg.ntk.regime_verdict import Regime
from thalweg.ntk.solving import Solution, solve

__all__ = [
    "EmpiricalCost",
    "EmpiricalKernel",
    "attention",
    "attention_softmax",
    "empirical",
    "empirical_cost",
    "empirical_kernels",
    "normalization",
    "pooling",
    "spatial",
    "ArchitectureScores",
    "Eigenlearning",
    "EmpiricalCost",
    "EmpiricalKernel",
    "Extremes",
    "KernelBounds",
    "Projection",
    "Regime",
    "Solution",
    "architecture_scores",
    "bounds",
    "eigenlearning",
    "eigenmodes",
    "empirical",
    "empirical_cost",
    "empirical_kernels",
    "extremes",
    "operator",
    "projection",
    "rank_correlation",
    "regime",
    "scores",
    "solve",
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
