"""Duals of activations: how covariances of pre-activations become covariances of what the next layer reads."""

from thalweg.ntk.dual.base import Dual
from thalweg.ntk.dual.hermite import Hermite, hermite
from thalweg.ntk.dual.named import dual_of
from thalweg.ntk.dual.rectifier import Rectifier

__all__ = ["Dual", "Hermite", "Rectifier", "dual_of", "hermite"]
