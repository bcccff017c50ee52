"""Training populations."""

from thalweg.training.history import History
from thalweg.training.recipe import Recipe
from thalweg.training.run import Run
from thalweg.training.train import train
from thalweg.training.unfolded import Unfolded

__all__ = ["History", "Recipe", "Run", "Unfolded", "train"]
