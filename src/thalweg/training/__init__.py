"""Training populations."""

from thalweg.training.history import History
from thalweg.training.recipe import Recipe, Unfolded
from thalweg.training.run import Run
from thalweg.training.train import train

__all__ = ["History", "Recipe", "Run", "Unfolded", "train"]
