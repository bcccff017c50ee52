"""Kernels as users have them, arrays or tensors, as square matrices in float64."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError

Array = NDArray[np.float64]
Kernels = Float[Tensor, "*members n n"]


def square(name: str, kernel: "ArrayLike | Tensor") -> Kernels:
    """A kernel (..., n, n), symmetrized, in float64.

    Raises:
        UsageError: no square matrices of numbers, or ones that are not symmetric.
    """
    given = kernel.detach() if isinstance(kernel, Tensor) else torch.as_tensor(np.array(kernel))
    if given.ndim < 2 or given.shape[-1] != given.shape[-2] or not given.shape[-1] or given.is_complex():
        msg = (
            f"{name} needs kernels (..., n, n); got {tuple(given.shape)}. A kernel of all pairs of outputs is made one "
            "by scores.flattened."
        )
        raise UsageError(msg)
    whole = given.double()
    size = whole.nan_to_num().abs().amax((-1, -2))
    apart = (whole - whole.mT).nan_to_num().abs().amax((-1, -2))
    rounding = 1e-3 if given.dtype in (torch.float32, torch.float16, torch.bfloat16) else 1e-6
    if bool((apart > rounding * size).any()):
        msg = f"{name} needs symmetric kernels; one is up to {float(apart.max()):.2g} off its transpose."
        raise UsageError(msg)
    return (whole + whole.mT) / 2


def precision(kernel: "ArrayLike | Tensor") -> float:
    """eps of the numbers a kernel was given in; of whole numbers that of float64."""
    dtype = kernel.dtype if isinstance(kernel, Tensor) else torch.as_tensor(np.array(kernel)).dtype
    return float(torch.finfo(dtype if dtype.is_floating_point else torch.float64).eps)


def targets_of(name: str, targets: "ArrayLike | Tensor", n: int) -> Float[Tensor, "n outputs"]:
    """Targets (n,) or (n, outputs) as (n, outputs), in float64.

    Raises:
        UsageError: not as many as the kernel has rows, or not finite.
    """
    given = targets.detach() if isinstance(targets, Tensor) else torch.as_tensor(np.array(targets))
    y = given.double().cpu()
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or len(y) != n or not bool(y.isfinite().all()):
        msg = f"{name} needs finite targets ({n},) or ({n}, outputs), one row of the kernel each; got {tuple(y.shape)}."
        raise UsageError(msg)
    return y


def broken(kernel: Kernels) -> Float[Tensor, " *members"]:
    """Which are not finite."""
    return ~kernel.isfinite().all(-1).all(-1)


def eigenvalues(kernel: Kernels) -> Float[Tensor, "*members n"]:
    """Ascending; NaN of those that are not finite."""
    lost = broken(kernel)
    values = torch.linalg.eigvalsh(kernel.masked_fill(lost[..., None, None], 0))
    return values.masked_fill(lost[..., None], torch.nan)
