"""Figures in Plotly: interactive, for pages and notebooks."""

from thalweg.figures.to_plotly.arrangements import arrangements
from thalweg.figures.to_plotly.notebook import FIT, output
from thalweg.figures.to_plotly.render import CONFIG, least_width, page, render

__all__ = ["CONFIG", "FIT", "arrangements", "least_width", "output", "page", "render"]
