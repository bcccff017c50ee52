"""Figures in Plotly: interactive, for pages and notebooks."""

from thalweg.figures.to_plotly.render import CONFIG, least_width, page, render

__all__ = ["CONFIG", "least_width", "page", "render"]
