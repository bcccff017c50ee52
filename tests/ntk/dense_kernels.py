"""Tangent kernels by dense Jacobians, by torch alone."""

from cases import Case
from population.oracles import Dense
from torch import Tensor

import thalweg as tw
from thalweg.population import Batch


def kernel_of(case: Case, population: tw.Population, member: int, examples: tw.data.Examples) -> Tensor:
    """J J^T by a dense Jacobian."""
    whole = Batch.range(examples, 0, len(examples))
    jacobian = Dense(case, population, member, whole).jacobian()
    if population.mask is not None:
        jacobian = jacobian * population.mask[member]
    return jacobian @ jacobian.T
