"""What training and architectures prefer: low frequencies, linear parts, simple and smooth functions, symmetries."""

from thalweg.generalization.simplicity.circle import LazyNet, circle, circle_kernel
from thalweg.generalization.simplicity.direction_rates import direction_rates
from thalweg.generalization.simplicity.distributional import Distributional, distributional, gaussian_clone
from thalweg.generalization.simplicity.error_parts import error_parts, half_time, kernel_half_times
from thalweg.generalization.simplicity.function_prior import FunctionPrior, function_prior
from thalweg.generalization.simplicity.hierarchy import Hierarchy, hierarchy, mode_strength
from thalweg.generalization.simplicity.information import corrupted, explained_share, mutual_information
from thalweg.generalization.simplicity.input_jacobian import InputJacobian, input_jacobian
from thalweg.generalization.simplicity.intrinsic_dimension import IntrinsicDimension, intrinsic_dimension
from thalweg.generalization.simplicity.kernel_times import kernel_shares, kernel_times, principal_directions
from thalweg.generalization.simplicity.learning_times import LearningTimes, learning_times
from thalweg.generalization.simplicity.lempel_ziv import complexity, lempel_ziv_words
from thalweg.generalization.simplicity.linear_first import LinearFirst, best_linear, linear_first
from thalweg.generalization.simplicity.random_functions import random_functions
from thalweg.generalization.simplicity.symmetry import Symmetry, permutation, rolls, symmetry
from thalweg.generalization.simplicity.tree_features import tree_features, tree_splits

__all__ = [
    "Distributional",
    "FunctionPrior",
    "Hierarchy",
    "InputJacobian",
    "IntrinsicDimension",
    "LazyNet",
    "LearningTimes",
    "LinearFirst",
    "Symmetry",
    "best_linear",
    "circle",
    "circle_kernel",
    "complexity",
    "corrupted",
    "direction_rates",
    "distributional",
    "error_parts",
    "explained_share",
    "function_prior",
    "gaussian_clone",
    "half_time",
    "hierarchy",
    "input_jacobian",
    "intrinsic_dimension",
    "kernel_half_times",
    "kernel_shares",
    "kernel_times",
    "learning_times",
    "lempel_ziv_words",
    "linear_first",
    "mode_strength",
    "mutual_information",
    "permutation",
    "principal_directions",
    "random_functions",
    "rolls",
    "symmetry",
    "tree_features",
    "tree_splits",
]
