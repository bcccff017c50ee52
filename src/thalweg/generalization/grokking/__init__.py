"""Grokking: generalization long after fitting, how to time it, and the mechanism behind it."""

from thalweg.generalization.grokking.arms import Arm, arms
from thalweg.generalization.grokking.delay import DelayLaw, delay_law
from thalweg.generalization.grokking.fourier import Fourier, fourier
from thalweg.generalization.grokking.group import Group, as_addition
from thalweg.generalization.grokking.linear import LinearGrokking, linear
from thalweg.generalization.grokking.plateau import Plateau, plateau
from thalweg.generalization.grokking.projected import constructed, projected
from thalweg.generalization.grokking.restricted import Restricted, restricted
from thalweg.generalization.grokking.standings import standings
from thalweg.generalization.grokking.times import Times, first_lasting, times

__all__ = [
    "Arm",
    "DelayLaw",
    "Fourier",
    "Group",
    "LinearGrokking",
    "Plateau",
    "Restricted",
    "Times",
    "arms",
    "as_addition",
    "constructed",
    "delay_law",
    "first_lasting",
    "fourier",
    "linear",
    "plateau",
    "projected",
    "restricted",
    "standings",
    "times",
]
