"""Kernels by products J J^T e of every output of every example, so that no Jacobian is in memory."""

from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.ntk.gram.features import Model
from thalweg.ntk.gram.masks import masked
from thalweg.ntk.gram.slices import slices
from thalweg.ntk.gram.wanted import Wanted, count
from thalweg.population import Problem


def fill_by_products(wanted: Wanted, problem: Problem, sizes: tuple[int, int, int]) -> None:
    """Write the kernel of every label, a column of one example and some outputs at a time.

    Args:
        wanted: the kernels.
        problem: whose model it is.
        sizes: members, examples of rows and outputs of columns at once.
    """
    chunks, columns, done = slices(len(wanted.population), sizes[0]), count(wanted.columns), 0
    for members in chunks:
        for label, kernel in wanted.kernels.items():
            names = tuple(entry.name for entry in wanted.population.layout if wanted.label(entry.name) == label)
            for column in range(columns):
                _fill_column(wanted, Model(problem, None, {}, names), kernel[members], members, column, sizes)
                done += 1
                wanted.done(done, len(chunks) * len(wanted.kernels) * columns)
            if wanted.square and wanted.form != "diagonal":
                _mirror(kernel[members], wanted.form)


def _fill_column(
    wanted: Wanted, model: Model, kernel: Tensor, members: slice, column: int, sizes: tuple[int, int, int]
) -> None:
    """Down to the diagonal, where the kernel is symmetric."""
    some, cotangents = wanted.population[members], wanted.cotangents
    one = tree_map(lambda leaf: leaf[column : column + 1], wanted.columns)
    first, last = (column if wanted.form == "diagonal" else 0), (column + 1 if wanted.square else count(wanted.inputs))
    for outputs in slices(len(cotangents), sizes[2]):
        pulled = masked(model.features(some, one, cotangents[outputs]), some).gradients
        tangents = {name: gradient.squeeze(1) for name, gradient in pulled.items()}
        for rows in slices(last, sizes[1], first):
            chosen = tree_map(lambda leaf, rows=rows: leaf[rows], wanted.inputs)
            block = model.along(some, chosen, tangents) @ cotangents.mT
            if wanted.form == "full":
                kernel[:, rows, :, column, outputs] = block.mT
                continue
            own = block[..., outputs].diagonal(dim1=-2, dim2=-1)
            if wanted.form == "trace":
                kernel[:, rows, column] += own.sum(-1) / len(cotangents)
            else:
                kernel[:, rows, outputs] = own


def _mirror(kernel: Tensor, form: str) -> None:
    for example in range(1, kernel.shape[1]):
        if form == "full":
            kernel[:, example, :, :example] = kernel[:, :example, :, example].permute(0, 3, 1, 2)
        else:
            kernel[:, example, :example] = kernel[:, :example, example]
