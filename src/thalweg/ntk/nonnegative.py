"""Variances of predictions that rounding, or kernels that do not belong together, make negative."""

from typing import Any

import torch
from torch import Tensor

from thalweg.ntk.dynamics_problem import numbers_of

_ROUNDING = 1e-5  # of the largest entry of own, below which a negative variance is rounding of kernels in float32


def not_negative(found: Tensor, own: Any) -> tuple[Tensor, tuple[str, ...]]:
    """The covariance or variance with no variance below 0, and what is to be said where that was more than rounding."""
    variances = found.diagonal(dim1=1, dim2=2) if found.ndim == 3 else found
    added = variances.clamp_min(0) - variances
    count = int((added > _ROUNDING * float(numbers_of("own", own).abs().max())).sum())
    raised = found + (torch.diag_embed(added) if found.ndim == 3 else added)
    if not count:
        return raised, ()
    said = f"{count} of {variances.numel()} variances came out negative, down to {float(variances.min()):.2g}, and are "
    said += "set to 0: kernel, cross and own are not of one kernel and the same examples, or are too coarse."
    return raised, (said,)
