"""Curvature of the loss: matrices as operators (measured by `spectra`), sharpness, and lambda_max along training."""

from thalweg.curvature.average_case import AverageCase, average_case_sharpness
from thalweg.curvature.fisher_rao import FisherRaoNorm, fisher_rao_norm
from thalweg.curvature.matrices import block, fisher, gauss_newton, hessian
from thalweg.curvature.tracker import Tracker
from thalweg.curvature.worst_case import WorstCase, keskar_sharpness, worst_case_sharpness

__all__ = [
    "AverageCase",
    "FisherRaoNorm",
    "Tracker",
    "WorstCase",
    "average_case_sharpness",
    "block",
    "fisher",
    "fisher_rao_norm",
    "gauss_newton",
    "hessian",
    "keskar_sharpness",
    "worst_case_sharpness",
]
