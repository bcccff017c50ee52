"""Gradients of masked parameters are no part of a kernel: training does not move them."""

from dataclasses import replace

from thalweg.ntk.gram.features import Features
from thalweg.population import Population


def masked(features: Features, population: Population) -> Features:
    """The same with gradients of 0 for masked parameters."""
    if population.mask is None:
        return features
    views = population.layout.views(population.mask)
    gradients = {name: gradient * views[name][:, None, None] for name, gradient in features.gradients.items()}
    return replace(features, gradients=gradients)
