"""Curvature of the loss: matrices as operators, their spectra, and sharpness."""

from thalweg.curvature.eigen import ENDS, Eigenpairs, top_eigenvalues
from thalweg.curvature.lanczos import Krylov
from thalweg.curvature.operator import Operator, block
from thalweg.curvature.spectrum import Spectrum, spectrum
from thalweg.curvature.trace import diagonal, trace

__all__ = [
    "ENDS",
    "Eigenpairs",
    "Krylov",
    "Operator",
    "Spectrum",
    "block",
    "diagonal",
    "spectrum",
    "top_eigenvalues",
    "trace",
]
