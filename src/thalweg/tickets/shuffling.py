"""Masks of as many parts at random places: the control of where a ticket's mask has them."""

from collections.abc import Sequence

import torch

from thalweg.arguments import in_words
from thalweg.population import Entry
from thalweg.randomness import generator
from thalweg.tickets.division import Division
from thalweg.tickets.selection import Mask, Parts, alive_parts, mask_of

SHUFFLED = "shuffled mask"  # the stream of seeds from which places are drawn


@in_words
def shuffled(mask: Mask, entries: Sequence[Entry], seeds: Sequence[int], *, stream: str = SHUFFLED) -> Mask:
    """The mask with its places exchanged at random within every tensor: equal counts, arbitrary structure.

    The exchange depends on seed and tensor alone, so that nested masks stay nested.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> entries = tw.tickets.Policy().entries(problem.layout)
    >>> mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), 0.1)
    >>> other = tw.tickets.shuffled(mask, entries, seeds=[0])
    >>> int(other.sum()) == int(mask.sum()), torch.equal(other, mask)
    (True, False)

    Args:
        mask: (members, parameters).
        entries: the tensors whose places are exchanged.
        seeds: one a member.
        stream: of these seeds, from which the exchange is drawn; another name gives another exchange.
    """
    found = mask.clone()
    for row, seed in enumerate(seeds):
        for number, entry in enumerate(entries):
            order = torch.randperm(entry.size, generator=generator(seed, stream, number))
            found[row, entry.columns] = mask[row, entry.columns][order]
    return found


@in_words
def shuffled_parts(
    mask: Mask,
    division: Division,
    seeds: Sequence[int],
    *,
    stream: str = SHUFFLED,
    layers: Sequence[Entry] | None = None,
) -> Mask:
    """The mask with places exchanged as its allocation allows: single weights within tensors, other parts within pools.

    Units are exchanged for units of the same group, blocks for blocks of the same size in the same tensor, and of m
    consecutive weights any n are kept, so that the control is as structured as the ticket and keeps as many weights of
    every layer.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> division = tw.tickets.Units().division(problem, tw.tickets.Policy())
    >>> mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), 0.25, allocation=tw.tickets.Units())
    >>> other = problem.layout.views(tw.tickets.shuffled_parts(mask, division, seeds=[3]))
    >>> [int(other[name].sum()) for name in ("hidden1.weight", "hidden1.bias", "output.weight")]
    [128, 2, 20]

    Args:
        mask: (members, parameters), of this division.
        division: into parts and pools.
        seeds, stream: see `shuffled`.
        layers: the tensors whose parts are exchanged; None: all.
    """
    entries = division.entries if layers is None else layers
    if division.loose:
        return shuffled(mask, entries, seeds, stream=stream)
    alive = alive_parts(division, mask)
    sizes = torch.bincount(division.part, minlength=len(division.pool))
    kind = division.pool * (int(sizes.max()) + 1) + sizes  # among which places are exchanged
    inside = torch.zeros(division.parameters, dtype=torch.bool)
    for entry in entries:
        inside[entry.columns] = True
    touched = torch.zeros(len(division.pool), dtype=torch.bool)
    touched[division.scored_part[inside[division.scored]]] = True
    exchanged: Parts = alive.clone()
    for row, seed in enumerate(seeds):
        places = kind.argsort(stable=True)
        drawn = torch.rand(len(kind), generator=generator(seed, stream, 0), dtype=torch.float64).argsort()
        source = drawn[kind[drawn].argsort(stable=True)]
        exchanged[row, places] = alive[row, source]
        exchanged[row, ~touched] = alive[row, ~touched]
    return mask_of(division, exchanged)
