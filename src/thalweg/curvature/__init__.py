"""Curvature of the loss: matrices as operators, their spectra, and sharpness."""

from thalweg.curvature.eigen import ENDS, Eigenpairs, top_eigenvalues
from thalweg.curvature.lanczos import Krylov
from thalweg.curvature.negative_index import dense, negative_index
from thalweg.curvature.operator import Operator, block
from thalweg.curvature.sharpness import average_case, fisher_rao, keskar, worst_case
from thalweg.curvature.spectrum import Spectrum, spectrum
from thalweg.curvature.trace import diagonal, trace
from thalweg.curvature.tracker import Tracker

__all__ = [
    "ENDS",
    "Eigenpairs",
    "Krylov",
    "Operator",
    "Spectrum",
    "Tracker",
    "average_case",
    "block",
    "dense",
    "diagonal",
    "fisher_rao",
    "keskar",
    "negative_index",
    "spectrum",
    "top_eigenvalues",
    "trace",
    "worst_case",
]
