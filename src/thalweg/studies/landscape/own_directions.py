"""Random directions of each network's own, so that an interval over seeds is about directions too.

Directions that all networks share are one draw: the interval would be about networks seen along these alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.landscape.directions import random
from thalweg.population import Population


def of_each(population: Population, seeds: Sequence[int], number: int = 0, *, normalization: str = "filter") -> Tensor:
    """A random direction of every member, drawn from its seed: (members, parameters); see `directions.random`."""
    drawn = [
        random(population[[member]], normalization=normalization, seed=seed, number=number)
        for member, seed in enumerate(seeds)
    ]
    return torch.cat(drawn)
