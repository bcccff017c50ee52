"""Bias, variance and noise: what the error of many fits is made of, and what averaging them removes."""

from thalweg.generalization.bias_variance.audit import NoiseAudit, audit_predictions
from thalweg.generalization.bias_variance.decomposition import Decomposition, decompose_predictions
from thalweg.generalization.bias_variance.ensemble_gain import Ensembles, ensembles_of_predictions
from thalweg.generalization.bias_variance.grams import COMPONENTS
from thalweg.generalization.bias_variance.of_population import audit, decompose, ensembles
from thalweg.generalization.bias_variance.optimism import Optimism, optimism
from thalweg.generalization.bias_variance.outputs import predictions
from thalweg.generalization.bias_variance.refit import refit

__all__ = [
    "COMPONENTS",
    "Decomposition",
    "Ensembles",
    "NoiseAudit",
    "Optimism",
    "audit",
    "audit_predictions",
    "decompose",
    "decompose_predictions",
    "ensembles",
    "ensembles_of_predictions",
    "optimism",
    "predictions",
    "refit",
]
