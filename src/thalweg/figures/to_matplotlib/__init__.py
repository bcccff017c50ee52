"""Figures in Matplotlib: vectors for papers."""

from thalweg.figures.to_matplotlib.render import look, render, save

__all__ = ["look", "render", "save"]
