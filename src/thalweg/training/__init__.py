"""Training populations."""

from thalweg.training.beginning import Masks, Starts
from thalweg.training.history import History, infinite_if_diverged, steps_to
from thalweg.training.member_grid import MemberGrid
from thalweg.training.observed import Observed
from thalweg.training.recipe import Recipe
from thalweg.training.run import Reached, Run
from thalweg.training.scattered import Scattered, ScatteredRun
from thalweg.training.scattering import scatter
from thalweg.training.start import Start
from thalweg.training.train import train

__all__ = [
    "History",
    "Masks",
    "MemberGrid",
    "Observed",
    "Reached",
    "Recipe",
    "Run",
    "Scattered",
    "ScatteredRun",
    "Start",
    "Starts",
    "infinite_if_diverged",
    "scatter",
    "steps_to",
    "train",
]
