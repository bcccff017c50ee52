"""What of the inputs makes a kernel hard to use: scales far from 1, and rows that are there twice."""

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet

_SCALE = 10.0  # root mean square of an entry, or its inverse, from which inputs count as unscaled
_APART = 10.0  # largest norm of an example over the median
_AT_MOST = 2_048  # examples that are looked at


def remarks_on_inputs(examples: ExampleSet) -> tuple[str, ...]:
    """Sentences for a reading: unscaled inputs, norms that differ by much, duplicate rows.

    Cost: one pass over the first 2,048 inputs.
    """
    count = min(len(examples), _AT_MOST)
    leaves = [leaf for leaf in tree_leaves(examples.slice(0, count)[0]) if isinstance(leaf, Tensor)]
    floating = [leaf.reshape(len(leaf), -1).double() for leaf in leaves if leaf.is_floating_point()]
    remarks = []
    if floating:
        rows = torch.cat(floating, dim=1)
        scale, norms = float(rows.square().mean().sqrt()), torch.linalg.vector_norm(rows, dim=1)
        if scale > _SCALE or 0 < scale < 1 / _SCALE:
            remarks.append(
                f"The inputs are not scaled: their root mean square is {scale:.3g} an entry, so that one part of the "
                "kernel outweighs the others; divide by it, or standardize each feature."
            )
        typical = float(norms.median())
        if typical > 0 and float(norms.max()) > _APART * typical:
            remarks.append(
                f"The largest input is {float(norms.max()) / typical:.3g} times as long as the median one, so that a "
                "few examples rule the kernel's largest eigenvalues; scale every input to one length."
            )
    repeated = _repeated(leaves, count)
    if repeated:
        which = f"{count:,}" if count == len(examples) else f"the first {count:,}"
        remarks.append(
            f"{repeated} of {which} inputs are the same as an earlier one, so that the kernel is singular; "
            "leave them out, or add a ridge."
        )
    return tuple(remarks)


def _repeated(leaves: list[Tensor], count: int) -> int:
    """How many rows are equal to an earlier one in all tensors."""
    if not leaves:
        return 0
    labels = [torch.unique(leaf.reshape(len(leaf), -1), dim=0, return_inverse=True)[1] for leaf in leaves]
    return count - len(torch.unique(torch.stack(labels, dim=1), dim=0))
