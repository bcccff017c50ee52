"""What a reader of kernels should know of members and inputs."""

from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from thalweg.population import Population, Problem

_LARGE = 10.0  # root mean square of inputs from which they are called large


def remarks_on(problem: Problem, population: Population, inputs: Any) -> tuple[str, ...]:
    """Sentences on members that are not finite, masks, inputs that are not scaled, and examples that occur twice.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.ntk.remarks import remarks_on
    >>> problem = tw.Problem(lambda: tw.nets.mlp(2, 2), (100 * torch.ones(3, 2), torch.tensor([0, 1, 0])))
    >>> for remark in remarks_on(problem, problem.initialize(1), problem.data.train.inputs):
    ...     print(remark)
    Inputs have a root mean square of 100: kernels grow with its square; divide them by it.
    2 examples are copies of others, so a kernel of all pairs is singular.
    """
    remarks = []
    lost = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        remarks.append(f"Not finite, so without a kernel: member {', '.join(map(str, lost))}.")
    if population.mask is not None:
        remarks.append("Masked parameters are no part of it.")
    leaves = tree_leaves(inputs)
    floating = [leaf for leaf in leaves if leaf.is_floating_point() and leaf.numel()]
    sizes = [float(leaf.double().square().mean().sqrt()) for leaf in floating]
    if sizes and max(sizes) > _LARGE:
        said = f"Inputs have a root mean square of {max(sizes):.3g}: kernels grow with its square; divide them by it."
        remarks.append(said)
    rows = torch.cat([leaf.reshape(len(leaf), -1).double() for leaf in leaves], 1)
    copies = len(rows) - len(torch.unique(rows, dim=0))
    if copies:
        said = f"{copies} example is a copy of another" if copies == 1 else f"{copies} examples are copies of others"
        remarks.append(f"{said}, so a kernel of all pairs is singular.")
    return tuple(remarks)
