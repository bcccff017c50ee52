"""Networks of several widths as one population: each is the first units of the widest, whose other weights are masked.

A unit without weights gives ReLU's 0 and takes no gradient, so under a rule that is elementwise a member is the network
of its own width, to rounding. Others take means and norms over a tensor, and its zeros would count (Adafactor, Muon).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.population import Layout, Population, Problem

# What a step costs beside its products takes as long as this many products of a parameter and an example (measured on
# a core: 1 ms, and 14 ns for each parameter and 100 examples).
BESIDE = 7e6


def columns_within(narrow: Layout, wide: Layout) -> Int64[Tensor, " parameters"]:
    """The columns of a wide network that are those of a narrow one: in every tensor the first along every dimension.

    >>> import thalweg as tw
    >>> from thalweg.generalization.double_descent.nested import columns_within
    >>> narrow, wide = (tw.Layout.of(tw.nets.mlp(2, width, 1, bias=False)) for width in (1, 3))
    >>> columns_within(narrow, wide).tolist()
    [0, 1, 6]
    """
    found = []
    for own, whole in zip(narrow, wide, strict=True):
        table = torch.arange(whole.start, whole.start + whole.size).view(whole.shape)
        found.append(table[tuple(slice(0, size) for size in own.shape)].reshape(-1))
    return torch.cat(found)


def widened(narrow: Population, wide: Problem) -> tuple[Population, Tensor]:
    """Members of a narrow network as members of a wide one, and the mask of their weights: (parameters,)."""
    columns = columns_within(narrow.layout, wide.layout)
    theta = narrow.theta.new_zeros(len(narrow), wide.layout.parameters)
    theta[:, columns] = narrow.theta
    mask = torch.zeros(wide.layout.parameters, dtype=torch.bool)
    mask[columns] = True
    return wide.initialize(1).with_theta(theta), mask


def together(parameters: Sequence[int], examples: int) -> list[slice]:
    """Which sizes, neighbors in order, train as one population, by the least time in all.

        time of a step = sum over populations of BESIDE + sizes * parameters of the largest * examples

    >>> from thalweg.generalization.double_descent.nested import together
    >>> together([100, 200, 300, 50_000], examples=300)
    [slice(0, 3, None), slice(3, 4, None)]

    Args:
        parameters: of each size, ascending.
        examples: in a step of all members of a size.
    """
    best: list[tuple[float, list[slice]]] = [(0.0, [])]
    for stop in range(1, len(parameters) + 1):
        ways = [
            (best[start][0] + BESIDE + (stop - start) * parameters[stop - 1] * examples, start) for start in range(stop)
        ]
        cost, start = min(ways)
        best.append((cost, [*best[start][1], slice(start, stop)]))
    return best[-1][1]
