"""The ridge of kernel regression: one convention for everything that takes one."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.dynamics_problem import tensor_of

Ridge = float | ArrayLike | Tensor


def ridges_of(name: str, ridge: Ridge, members: int, device: torch.device) -> Tensor:
    """What is added to the diagonals of the kernels as it is: (1,), or one a member, or several of one kernel; float64.

    Raises:
        UsageError: not a number of at least 0, nor as many as there are members.
    """
    try:
        found = tensor_of(ridge if isinstance(ridge, Tensor) else np.asarray(ridge, np.float64))
        found = found.to(device, torch.float64).reshape(-1) if found.ndim < 2 else found
    except (TypeError, ValueError):
        found = torch.empty(0)
    right = found.ndim == 1 and (members == 1 or len(found) in (1, members))
    if isinstance(ridge, bool | str) or not right or not bool((found.isfinite() & (found >= 0)).all()):
        msg = (
            f"{name} ridge is a number of at least 0 that is added to the diagonal of the kernel, such as "
            f"1e-3 * kernel.diagonal().mean(), or one for each of {members} members; got {ridge!r}."
        )
        raise UsageError(msg)
    return found


def said(ridges: Tensor) -> str:
    """For a reading."""
    low, high = float(ridges.min()), float(ridges.max())
    return f"Ridge {low:.4g}" + (f" to {high:.4g}, one a member." if high > low else ".")
