"""Networks whose units were put into a random order, and the order that undoes it."""

import torch

from thalweg.connectivity.alignment.moving import Permutations, reordered
from thalweg.connectivity.alignment.nests import Nest, nests_of
from thalweg.population import Population, UnitGroup
from thalweg.randomness import generator


def shuffled(
    population: Population, groups: tuple[UnitGroup, ...], copies: int, seed: int = 0
) -> tuple[Population, Permutations]:
    """Copies of one network, each with the units of every group in a random order of its own."""
    nests, draw = nests_of(groups), generator(seed, "planted")
    orders = {
        group.name: torch.stack([torch.randperm(group.units, generator=draw) for _ in range(copies)])
        for nest in nests
        for group in nest
    }
    return reordered(Population.concatenate([population] * copies), nests, orders), orders


def recovered(found: Population, reference: Population) -> int:
    """How many members are the reference again, to the bit, buffers included."""
    same = (found.theta == reference.theta).all(1)
    for name, buffer in reference.buffers.items():
        same &= (found.buffers[name] == buffer).reshape(len(found), -1).all(1)
    return int(same.sum())


def names(nests: tuple[Nest, ...]) -> list[list[list[str]]]:
    """The names of groups by nest and kind."""
    return [[[one.group.name for one in kind] for kind in nest.inner] for nest in nests]
