"""Curvature of the loss: matrices as operators, their spectra, and sharpness."""

from thalweg.curvature.eigen import ENDS, Eigenpairs, top_eigenvalues
from thalweg.curvature.lanczos import Krylov
from thalweg.curvature.operator import Operator, block

__all__ = ["ENDS", "Eigenpairs", "Krylov", "Operator", "block", "top_eigenvalues"]
