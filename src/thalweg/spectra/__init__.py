"""Eigenvalues, traces, diagonals and densities of any symmetric matrix that is known by its products."""

from thalweg.spectra.density import SpectralDensity, density
from thalweg.spectra.diagonal import Diagonal, diagonal
from thalweg.spectra.eigenpairs import Eigenpairs, top_eigenvalues
from thalweg.spectra.lanczos import Krylov, Ritz
from thalweg.spectra.matrix import as_matrix, from_matrix
from thalweg.spectra.negative_index import NegativeIndex, negative_index
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Estimate
from thalweg.spectra.trace import Trace, trace

__all__ = [
    "Diagonal",
    "Eigenpairs",
    "Estimate",
    "Krylov",
    "NegativeIndex",
    "Operator",
    "Ritz",
    "SpectralDensity",
    "Trace",
    "as_matrix",
    "density",
    "diagonal",
    "from_matrix",
    "negative_index",
    "top_eigenvalues",
    "trace",
]
