"""Grokking: generalization long after fitting, how to time it, and the mechanism behind it."""

from thalweg.generalization.grokking.fourier import Fourier, fourier
from thalweg.generalization.grokking.group import Group, as_addition
from thalweg.generalization.grokking.projected import constructed, projected
from thalweg.generalization.grokking.times import Times, first_lasting, times

__all__ = [
    "Fourier",
    "Group",
    "Times",
    "as_addition",
    "constructed",
    "first_lasting",
    "fourier",
    "projected",
    "times",
]
