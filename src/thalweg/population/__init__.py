"""Populations of networks as the rows of one matrix, and everything that evaluates them."""

from thalweg.population.batch import Batch
from thalweg.population.derivatives import gradient
from thalweg.population.execution import Execution, Plan, choose
from thalweg.population.layout import Entry, Layout
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.rescaling import layers_rescaled, rescaled, rescaled_before_norm
from thalweg.population.structure import Operation, Slice, Structure, UnitGroup

__all__ = [
    "Batch",
    "Entry",
    "Execution",
    "Layout",
    "Operation",
    "Plan",
    "Population",
    "Problem",
    "Slice",
    "Structure",
    "UnitGroup",
    "choose",
    "gradient",
    "layers_rescaled",
    "rescaled",
    "rescaled_before_norm",
]
