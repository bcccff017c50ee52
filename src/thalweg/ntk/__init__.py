"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk.empirical_kernels import empirical_kernels

__all__ = ["empirical_kernels"]
