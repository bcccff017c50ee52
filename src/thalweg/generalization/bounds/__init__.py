"""Bounds of the risk, from those that are vacuous on networks to those that are not, and what they are about."""

from thalweg.generalization.bounds.bartlett import bartlett, bartlett_generous, spectral_complexity
from thalweg.generalization.bounds.board import board
from thalweg.generalization.bounds.certificate import Certificate
from thalweg.generalization.bounds.cover import cover
from thalweg.generalization.bounds.data_free import data_free, data_free_cost
from thalweg.generalization.bounds.finite_class import finite_class, occam, occam_hoeffding
from thalweg.generalization.bounds.fitting_network import FittingNetwork, fitting_network
from thalweg.generalization.bounds.flatness import Flatness, flatness
from thalweg.generalization.bounds.grids import rounded_down, rounded_up, variance_price
from thalweg.generalization.bounds.half_hold_out import half_hold_out
from thalweg.generalization.bounds.half_prior import half_prior, half_prior_cost
from thalweg.generalization.bounds.hold_out import hold_out, hold_out_lower
from thalweg.generalization.bounds.kl_inverse import binary_kl, kl_inverse, kl_inverse_lower
from thalweg.generalization.bounds.known_risk import KnownRisk, violations
from thalweg.generalization.bounds.layer_norms import LayerNorms, layer_norms
from thalweg.generalization.bounds.margins import margins
from thalweg.generalization.bounds.measures import ComplexityMeasures, complexity_measures
from thalweg.generalization.bounds.pac_bayes import (
    gaussian_kl,
    mcallester,
    monte_carlo,
    pac_bayes_kl,
    pac_bayes_lambda,
    pac_bayes_quadratic,
)
from thalweg.generalization.bounds.path_norm import path_norm
from thalweg.generalization.bounds.posted import Board
from thalweg.generalization.bounds.quantized_linear import quantized_linear, quantized_linear_cost
from thalweg.generalization.bounds.rademacher import (
    golowich_complexity,
    golowich_generous,
    linear_complexity,
    rademacher,
)
from thalweg.generalization.bounds.random_subspace import random_subspace, random_subspace_cost
from thalweg.generalization.bounds.ranking import Ranking, ranking
from thalweg.generalization.bounds.rows import BoundRow
from thalweg.generalization.bounds.sample_size import examples_needed
from thalweg.generalization.bounds.separability import separability
from thalweg.generalization.bounds.side_by_side import side_by_side
from thalweg.generalization.bounds.trainings import BoundCost
from thalweg.generalization.bounds.vc import relu_dimension, vc

__all__ = [
    "Board",
    "BoundCost",
    "BoundRow",
    "Certificate",
    "ComplexityMeasures",
    "FittingNetwork",
    "Flatness",
    "KnownRisk",
    "LayerNorms",
    "Ranking",
    "bartlett",
    "bartlett_generous",
    "binary_kl",
    "board",
    "complexity_measures",
    "cover",
    "data_free",
    "data_free_cost",
    "examples_needed",
    "finite_class",
    "fitting_network",
    "flatness",
    "gaussian_kl",
    "golowich_complexity",
    "golowich_generous",
    "half_hold_out",
    "half_prior",
    "half_prior_cost",
    "hold_out",
    "hold_out_lower",
    "kl_inverse",
    "kl_inverse_lower",
    "layer_norms",
    "linear_complexity",
    "margins",
    "mcallester",
    "monte_carlo",
    "occam",
    "occam_hoeffding",
    "pac_bayes_kl",
    "pac_bayes_lambda",
    "pac_bayes_quadratic",
    "path_norm",
    "quantized_linear",
    "quantized_linear_cost",
    "rademacher",
    "random_subspace",
    "random_subspace_cost",
    "ranking",
    "relu_dimension",
    "rounded_down",
    "rounded_up",
    "separability",
    "side_by_side",
    "spectral_complexity",
    "variance_price",
    "vc",
    "violations",
]
