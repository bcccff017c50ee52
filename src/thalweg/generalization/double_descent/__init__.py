"""Double descent: test error over the number of features, of examples, of steps, and of parameters."""

from thalweg.generalization.double_descent.complexity import effective_model_complexity, effective_parameters
from thalweg.generalization.double_descent.feature_curve import FeatureCurve
from thalweg.generalization.double_descent.features import FourierFeatures, ReluFeatures
from thalweg.generalization.double_descent.least_squares import LeastSquares, least_squares
from thalweg.generalization.double_descent.linear_models import (
    LinearCurve,
    over_examples,
    over_inputs,
    over_weak_features,
)
from thalweg.generalization.double_descent.network_curve import NetworkCurve
from thalweg.generalization.double_descent.over_features import over_features
from thalweg.generalization.double_descent.over_networks import over_depths, over_widths
from thalweg.generalization.double_descent.random_features_theory import random_features_risk
from thalweg.generalization.double_descent.standing import Standing, where_am_i
from thalweg.generalization.double_descent.stopping import stopped
from thalweg.generalization.double_descent.theory import (
    hastie_limit,
    isotropic_norm,
    isotropic_risk,
    optimal_penalty,
    optimal_ridge_limit,
    weak_features_risk,
)
from thalweg.generalization.double_descent.training_time import (
    TimeCurve,
    gradient_descent,
    over_training,
    risk_over_training,
)

__all__ = [
    "FeatureCurve",
    "FourierFeatures",
    "LeastSquares",
    "LinearCurve",
    "NetworkCurve",
    "ReluFeatures",
    "Standing",
    "TimeCurve",
    "effective_model_complexity",
    "effective_parameters",
    "gradient_descent",
    "hastie_limit",
    "isotropic_norm",
    "isotropic_risk",
    "least_squares",
    "optimal_penalty",
    "optimal_ridge_limit",
    "over_depths",
    "over_examples",
    "over_features",
    "over_inputs",
    "over_training",
    "over_weak_features",
    "over_widths",
    "random_features_risk",
    "risk_over_training",
    "stopped",
    "weak_features_risk",
    "where_am_i",
]
