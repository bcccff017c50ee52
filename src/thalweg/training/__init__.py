"""Training populations."""

from thalweg.training.history import History
from thalweg.training.member_grid import MemberGrid
from thalweg.training.recipe import Recipe
from thalweg.training.run import Run
from thalweg.training.train import train

__all__ = ["History", "MemberGrid", "Recipe", "Run", "train"]
