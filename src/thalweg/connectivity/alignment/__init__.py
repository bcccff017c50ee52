"""Networks with their units in the order in which they are most similar to a reference."""

from thalweg.connectivity.alignment.align import align
from thalweg.connectivity.alignment.methods import ActivationMatching, StraightThrough, WeightMatching
from thalweg.connectivity.alignment.result import Alignment
from thalweg.connectivity.alignment.together import align_together

__all__ = ["ActivationMatching", "Alignment", "StraightThrough", "WeightMatching", "align", "align_together"]
