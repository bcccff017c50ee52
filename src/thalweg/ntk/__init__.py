"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import pooling, spatial

__all__ = ["pooling", "spatial"]
