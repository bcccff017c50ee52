"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import attention, attention_softmax, normalization, pooling, spatial
from thalweg.ntk.dual import Dual, Hermite, dual_of, hermite
from thalweg.ntk.empirical import empirical
from thalweg.ntk.empirical_cost import EmpiricalCost, empirical_cost
from thalweg.ntk.empirical_kernel import EmpiricalKernel
from thalweg.ntk.empirical_kernels import empirical_kernels
from thalweg.ntk.infinite import Infinite, Kernels, infinite

__all__ = [
    "Dual",
    "EmpiricalCost",
    "EmpiricalKernel",
    "Hermite",
    "Infinite",
    "Kernels",
    "attention",
    "attention_softmax",
    "dual_of",
    "empirical",
    "empirical_cost",
    "empirical_kernels",
    "hermite",
    "infinite",
    "normalization",
    "pooling",
    "spatial",
]
