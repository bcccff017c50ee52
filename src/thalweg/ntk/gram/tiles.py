"""Kernels tile by tile, so that what is in memory at once stays within a budget."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.ntk.gram.contraction import Gram
from thalweg.ntk.gram.features import Features
from thalweg.ntk.gram.parts import Plan
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


def fill(
    kernels: Mapping[str, Tensor],
    form: str,
    plan: Plan,
    population: Population,
    inputs: Any,
    others: Any | None,
    cotangents: Tensor,
    tiling: Tiling,
    label: Callable[[str], str],
    done: Callable[[int, int], None],
) -> None:
    """Add every parameter's part to the kernel of its label.

    Args:
        kernels: zeros, as `Gram` has them.
        form: see `Gram`.
        plan: how parts are had.
        population: of whose members.
        inputs, others: examples (examples, ...) of rows and columns; others None: the same, of which the half is enough.
        cotangents: (outputs, outputs of the model), along which the outputs are.
        tiling: how it is cut.
        label: of a parameter.
        done: told how many tiles of how many.
    """
    rows = _tiles(_count(inputs), len(cotangents), tiling)
    columns = rows if others is None else _tiles(_count(others), len(cotangents), tiling)
    pairs = [
        (first, second)
        for first, second in itertools.product(range(len(rows)), range(len(columns)))
        if (others is not None or first <= second)
        and (form == "full" or rows[first].outputs == columns[second].outputs)
        and (form != "diagonal" or first == second)
    ]
    chunks = _slices(len(population), tiling.members)
    for number, members in enumerate(chunks):
        some = population[members]

        def features(examples: Any, tile: Tile, some: Population = some) -> Features:
            chosen = tree_map(lambda leaf: leaf[tile.examples], examples)
            return masked(plan.model.features(some, chosen, cotangents[tile.outputs]), some)

        held, first_features = -1, None
        for place, (first, second) in enumerate(pairs):
            if held != first:
                first_features = None  # its memory is needed
                held, first_features = first, features(inputs, rows[first])
            same = others is None and first == second
            second_features = (
                first_features if same else features(inputs if others is None else others, columns[second])
            )
            _contract(
                kernels,
                form,
                plan,
                members,
                rows[first],
                columns[second],
                first_features,
                second_features,
                others is None,
                len(cotangents),
                tiling,
                label,
            )
            second_features = None
            done(number * len(pairs) + place + 1, len(chunks) * len(pairs))


def masked(features: Features, population: Population) -> Features:
    """Gradients with 0 in the place of those of masked parameters."""
    if population.mask is None:
        return features
    views = population.layout.views(population.mask)
    gradients = {name: gradient * views[name][:, None, None] for name, gradient in features.gradients.items()}
    return replace(features, gradients=gradients)


def _contract(
    kernels: Mapping[str, Tensor],
    form: str,
    plan: Plan,
    members: slice,
    row: Tile,
    column: Tile,
    first: Features,
    second: Features,
    square: bool,
    outputs: int,
    tiling: Tiling,
    label: Callable[[str], str],
) -> None:
    """Add all parts to a tile, and where the kernel is symmetric to the one opposite."""
    grams = {}
    for name, kernel in kernels.items():
        part = _part(kernel, form, members, row, column)
        grams[name] = Gram(part, form, symmetric=second is first, outputs=outputs, numbers=tiling.numbers)
    for part in plan.parts:
        part.add(grams[label(part.name)], first, second)
    for name, kernel in kernels.items():
        grams[name].mirror()
        if square and second is not first and form != "diagonal":
            opposite = _part(kernel, form, members, column, row)
            made = grams[name].kernel
            opposite.copy_(made.permute(0, 3, 4, 1, 2) if form == "full" else made.mT)


def _part(kernel: Tensor, form: str, members: slice, row: Tile, column: Tile) -> Tensor:
    if form == "full":
        return kernel[members, row.examples, row.outputs, column.examples, column.outputs]
    return kernel[members, row.examples, column.examples if form == "trace" else row.outputs]


def _tiles(examples: int, outputs: int, tiling: Tiling) -> list[Tile]:
    return [
        Tile(*pair) for pair in itertools.product(_slices(examples, tiling.examples), _slices(outputs, tiling.outputs))
    ]


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _count(inputs: Any) -> int:
    return len(tree_leaves(inputs)[0])
