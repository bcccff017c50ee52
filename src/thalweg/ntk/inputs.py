"""What of the inputs makes a kernel hard to use: scales far from 1, and rows that are there twice."""

from typing import Any

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
    return remarks_on_tensors(examples.slice(0, min(len(examples), _AT_MOST))[0], len(examples))


def remarks_on_tensors(inputs: Any, count: int, *, copies: bool = True) -> tuple[str, ...]:
    """The same of inputs as the model takes them.

    Args:
        inputs: one tensor (examples, ...), or several.
        count: how many examples there are in all.
        copies: whether rows that are there twice are of interest, as in a kernel of all pairs.
    """
    leaves = [leaf[:_AT_MOST].reshape(len(leaf[:_AT_MOST]), -1) for leaf in tree_leaves(inputs) if _holds_rows(leaf)]
    floating = [leaf.double() for leaf in leaves if leaf.is_floating_point()]
    remarks = _on_scale(torch.cat(floating, dim=1)) if floating else []
    repeated = _repeated(leaves) if leaves and copies else 0
    if repeated:
        seen = len(leaves[0])
        which = f"{count:,}" if count <= seen else f"the first {seen:,}"
        remarks.append(
            f"{repeated} of {which} inputs are the same as an earlier one, so that the kernel is singular; "
            "leave them out, or add a ridge."
        )
    return tuple(remarks)


def _holds_rows(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0 and leaf.numel() > 0


def _on_scale(rows: Tensor) -> list[str]:
    remarks = []
    scale, norms = float(rows.square().mean().sqrt()), torch.linalg.vector_norm(rows, dim=1)
    if scale > _SCALE or 0 < scale < 1 / _SCALE:
        remarks.append(
            f"The inputs are not scaled: their root mean square is {scale:.3g} an entry, so that one part of the "
            "kernel outweighs the others, as biases do or no longer do; divide by it, or standardize each feature."
        )
    typical = float(norms.median())
    if typical > 0 and float(norms.max()) > _APART * typical:
        remarks.append(
            f"The largest input is {float(norms.max()) / typical:.3g} times as long as the median one, so that a "
            "few examples rule the kernel's largest eigenvalues; scale every input to one length."
        )
    return remarks


def _repeated(leaves: list[Tensor]) -> int:
    """How many rows are equal to an earlier one in all tensors: those are compared that one direction does not part."""
    places = torch.zeros(len(leaves[0]), dtype=torch.float64, device=leaves[0].device)
    for leaf in leaves:
        places += leaf.double() @ torch.arange(1, leaf.shape[1] + 1, dtype=torch.float64, device=leaf.device).sin_()
    order = places.argsort()
    near = (places[order].diff() <= 1e-12 * places.abs().max()).nonzero().flatten()
    later, earlier = order[near + 1], order[near]
    return int(torch.stack([(leaf[later] == leaf[earlier]).all(1) for leaf in leaves]).all(0).sum())
