"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""

from thalweg.ntk import attention, attention_softmax, pooling, spatial

__all__ = ["attention", "attention_softmax", "pooling", "spatial"]
