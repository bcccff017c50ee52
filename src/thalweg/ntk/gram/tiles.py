"""Kernels tile by tile, so that what is in memory at once stays within a budget."""

import itertools
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.ntk.gram.contraction import Gram
from thalweg.ntk.gram.features import Features
from thalweg.ntk.gram.masks import masked
from thalweg.ntk.gram.parts import Plan
from thalweg.ntk.gram.slices import slices
from thalweg.ntk.gram.wanted import Wanted, count
from thalweg.population import Population


@dataclass(frozen=True)
class Tiling:
    """How a kernel is cut.

    Args:
        members, examples, outputs: of a tile.
        numbers: that a contraction may have in memory at once.
    """

    members: int
    examples: int
    outputs: int
    numbers: int


@dataclass(frozen=True)
class Tile:
    """Some examples and outputs."""

    examples: slice
    outputs: slice


def fill(wanted: Wanted, plan: Plan, tiling: Tiling) -> None:
    """Add every parameter's part to the kernel of its label, tile by tile.

    Features of rows stay while the tiles of their columns are computed.
    """
    rows = _tiles(count(wanted.inputs), len(wanted.cotangents), tiling)
    columns = rows if wanted.square else _tiles(count(wanted.columns), len(wanted.cotangents), tiling)
    chunks, done = slices(len(wanted.population), tiling.members), 0
    tasks = [(row, [column for column in columns if _is_due(wanted, row, column)]) for row in rows]
    total = len(chunks) * sum(len(due) for _, due in tasks)
    for members in chunks:
        some = wanted.population[members]
        for row, due in tasks:
            first = _features(wanted, plan, some, wanted.inputs, row)
            for column in due:
                same = wanted.square and column == row
                second = first if same else _features(wanted, plan, some, wanted.columns, column)
                _contract(wanted, plan, tiling, members, (row, column), (first, second))
                del second  # its memory is needed for the next
                done += 1
                wanted.done(done, total)
            del first


def _is_due(wanted: Wanted, row: Tile, column: Tile) -> bool:
    """Whether a tile has entries that are not the mirror image of another's."""
    if wanted.form != "full" and row.outputs != column.outputs:
        return False
    if wanted.form == "diagonal":
        return row == column
    ahead = (row.examples.start, row.outputs.start) <= (column.examples.start, column.outputs.start)
    return ahead or not wanted.square


def _features(wanted: Wanted, plan: Plan, population: Population, inputs: Any, tile: Tile) -> Features:
    chosen = tree_map(lambda leaf: leaf[tile.examples], inputs)
    return masked(plan.model.features(population, chosen, wanted.cotangents[tile.outputs]), population)


def _contract(
    wanted: Wanted,
    plan: Plan,
    tiling: Tiling,
    members: slice,
    tiles: tuple[Tile, Tile],
    features: tuple[Features, Features],
) -> None:
    """Add all parts to a tile, and where the kernel is symmetric to the one opposite."""
    form, same = wanted.form, features[0] is features[1]
    grams = {}
    for name, kernel in wanted.kernels.items():
        tile = _tile_of(kernel, form, members, *tiles)
        grams[name] = Gram(tile, form, symmetric=same, outputs=len(wanted.cotangents), numbers=tiling.numbers)
    for part in plan.parts:
        part.add(grams[wanted.label(part.name)], *features)
    for name, kernel in wanted.kernels.items():
        grams[name].mirror()
        if wanted.square and not same:
            tile = grams[name].kernel
            opposite = _tile_of(kernel, form, members, *reversed(tiles))
            opposite.copy_(tile.permute(0, 3, 4, 1, 2) if form == "full" else tile.mT)


def _tile_of(kernel: Tensor, form: str, members: slice, row: Tile, column: Tile) -> Tensor:
    if form == "full":
        return kernel[members, row.examples, row.outputs, column.examples, column.outputs]
    return kernel[members, row.examples, column.examples if form == "trace" else row.outputs]


def _tiles(examples: int, outputs: int, tiling: Tiling) -> list[Tile]:
    both = itertools.product(slices(examples, tiling.examples), slices(outputs, tiling.outputs))
    return [Tile(*pair) for pair in both]
