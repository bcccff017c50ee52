"""Kernels by products J J^T e of every output of every example, so that no Jacobian is in memory."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.ntk.gram.features import Model
from thalweg.ntk.gram.masks import masked
from thalweg.ntk.gram.slices import slices
from thalweg.population import Population, Problem


def fill_by_products(
    kernels: Mapping[str, Tensor],
    problem: Problem,
    form: str,
    population: Population,
    inputs: Any,
    others: Any | None,
    cotangents: Tensor,
    sizes: tuple[int, int, int],
    label: Callable[[str], str],
    done: Callable[[int, int], None],
) -> None:
    """Write the kernel of every label, a column of one example and some outputs at a time.

    Args:
        kernels: see `tiles.fill`, as all others.
        sizes: members, rows' examples and columns' outputs at once.
    """
    names = {one: [entry.name for entry in population.layout if label(entry.name) == one] for one in kernels}
    columns = inputs if others is None else others
    count, chunks = len(tree_leaves(columns)[0]), slices(len(population), sizes[0])
    for number, members in enumerate(chunks):
        some = population[members]
        for name, kernel in kernels.items():
            model = Model(problem, None, {}, tuple(names[name]))
            for column in range(count):
                one = tree_map(lambda leaf, column=column: leaf[column : column + 1], columns)
                first, last = (column if form == "diagonal" else 0), (column + 1 if others is None else _count(inputs))
                for outputs in slices(len(cotangents), sizes[2]):
                    pulled = masked(model.features(some, one, cotangents[outputs]), some).gradients
                    tangents = {name: gradient.squeeze(1) for name, gradient in pulled.items()}
                    for rows in slices(last, sizes[1], first):
                        chosen = tree_map(lambda leaf, rows=rows: leaf[rows], inputs)
                        block = model.along(some, chosen, tangents) @ cotangents.mT
                        _write(kernel[members], form, block, rows, column, outputs, len(cotangents))
                done((number * count) + column + 1, len(chunks) * count)
            if others is None and form != "diagonal":
                _mirror(kernel[members], form)


def _write(kernel: Tensor, form: str, block: Tensor, rows: slice, column: int, outputs: slice, count: int) -> None:
    """A block (members, rows, other outputs, outputs)."""
    if form == "full":
        kernel[:, rows, :, column, outputs] = block.mT
        return
    own = block[..., outputs].diagonal(dim1=-2, dim2=-1)
    if form == "trace":
        kernel[:, rows, column] += own.sum(-1) / count
    else:
        kernel[:, rows, outputs] = own


def _mirror(kernel: Tensor, form: str) -> None:
    for example in range(1, kernel.shape[1]):
        if form == "full":
            kernel[:, example, :, :example] = kernel[:, :example, :, example].permute(0, 3, 1, 2)
        else:
            kernel[:, example, :example] = kernel[:, :example, example]


def _count(inputs: Any) -> int:
    return len(tree_leaves(inputs)[0])
