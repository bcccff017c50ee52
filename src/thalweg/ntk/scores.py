"""Numbers that sum a kernel up: conditioning, rank, alignment with targets, and how far two kernels are apart.

All take kernels (..., n, n), as arrays or tensors, and give float64 arrays (...). A kernel that is not finite gives
NaN, as does one of zeros where a direction is asked for; nothing else does.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.arrays import Array, Kernels, eigenvalues, precision, square, targets_of

__all__ = [
    "ConditionNumber",
    "alignment",
    "centered_alignment",
    "condition_number",
    "drift",
    "effective_rank",
    "flattened",
    "kernel_distance",
    "label_gradient_alignment",
    "mean_entry",
    "smallest_eigenvalue",
]

Kernel = ArrayLike | Tensor


@dataclass(frozen=True, eq=False)
class ConditionNumber:
    """lambda_max / lambda_min, as far as the precision tells.

    >>> import thalweg as tw
    >>> print(tw.ntk.scores.condition_number([[100.0, 0.0], [0.0, 1.0]]))
    100
    >>> print(tw.ntk.scores.condition_number([[1.0, 1.0], [1.0, 1.0]]))
    singular to working precision

    Args:
        log10: of the condition number; of a singular kernel that of lambda_max over rounding, a lower bound: (...).
        singular: whether lambda_min is within rounding of 0, n eps lambda_max: (...).
        largest, smallest: the eigenvalues, which rounding may make negative: (...).
    """

    log10: Array
    singular: NDArray[np.bool_]
    largest: Array
    smallest: Array

    def __str__(self) -> str:
        words = np.where(self.singular, "singular to working precision", [f"{10**one:.3g}" for one in self.log10.flat])
        return ", ".join(np.atleast_1d(words).reshape(-1).tolist())


def flattened(kernel: Kernel) -> Array:
    """A kernel of all pairs of outputs, (..., n, n, C, C), as the matrix (..., n C, n C) whose entry is i C + c.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.ntk.scores.flattened(np.arange(16).reshape(2, 2, 2, 2))[0].tolist()
    [0.0, 1.0, 4.0, 5.0]

    Raises:
        UsageError: a kernel of other dimensions.
    """
    given = kernel.detach().cpu().numpy() if isinstance(kernel, Tensor) else np.asarray(kernel)
    if given.ndim < 4:
        msg = f"flattened needs a kernel (..., examples, other examples, outputs, other outputs); got {given.shape}."
        raise UsageError(msg)
    *members, n, m, c, d = given.shape
    swapped = np.swapaxes(given, -3, -2).reshape(*members, n * c, m * d)
    return swapped if swapped.dtype.kind == "f" else swapped.astype(np.float64)


def condition_number(kernel: Kernel) -> ConditionNumber:
    """lambda_max / lambda_min as log10, with a word for a kernel that is singular to working precision.

    Working precision is that of the numbers given: eigenvalues of a float32 kernel are uncertain by n eps lambda_max.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.ntk.scores.condition_number(np.diag([1000.0, 20.0, 1.0])).log10.round(6).item()
    3.0

    Args:
        kernel: (..., n, n), symmetric.

    Cost: eigenvalues, n^3. Paper (as a score of trainability): Chen, Gong & Wang (2021), arXiv:2102.11535; Xiao,
    Pennington & Schoenholz (2020), arXiv:1912.13053.
    """
    values = eigenvalues(square("condition_number", kernel))
    low, high = values[..., 0], values[..., -1]
    rounding = values.shape[-1] * precision(kernel) * values.abs().amax(-1)
    singular = low <= rounding
    log10 = torch.log10(high / torch.maximum(low, rounding)).masked_fill(~(high > 0) & singular, torch.inf)
    return ConditionNumber(_array(log10), np.asarray(singular.cpu().numpy()), _array(high), _array(low))


def smallest_eigenvalue(kernel: Kernel) -> Array:
    """lambda_min, which rounding may make negative (Du et al., 2019, arXiv:1811.03804, bound the rate by it).

    >>> import thalweg as tw
    >>> tw.ntk.scores.smallest_eigenvalue([[2.0, 1.0], [1.0, 2.0]]).round(6).item()
    1.0
    """
    return _array(eigenvalues(square("smallest_eigenvalue", kernel))[..., 0])


def effective_rank(kernel: Kernel) -> Array:
    """(sum lambda)^2 / sum lambda^2 = (tr K)^2 / |K|^2: n where all are equal, 1 where one is all.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.ntk.scores.effective_rank([np.eye(3), np.ones((3, 3))]).tolist()
    [3.0, 1.0]
    """
    whole = _scaled(square("effective_rank", kernel))
    return _array(_over(whole.diagonal(dim1=-2, dim2=-1).sum(-1).square(), _inner(whole, whole)))


def mean_entry(kernel: Kernel) -> Array:
    """The mean over all pairs, sum_ij K_ij / n^2: KNAS scores architectures by it (Xu et al., 2021, arXiv:2111.13293).

    >>> import thalweg as tw
    >>> tw.ntk.scores.mean_entry([[2.0, 1.0], [1.0, 2.0]]).item()
    1.5
    """
    return _array(square("mean_entry", kernel).mean((-1, -2)))


def alignment(kernel: Kernel, targets: Kernel) -> Array:
    """<K, Y Y^T> / (|K| |Y Y^T|): y^T K y / (|K| |y|^2) for one output, 1 where K is y y^T.

    >>> import thalweg as tw
    >>> tw.ntk.scores.alignment([[1.0, -1.0], [-1.0, 1.0]], [1.0, -1.0]).round(6).item()
    1.0

    Args:
        kernel: (..., n, n).
        targets: (n,) or (n, outputs), such as one-hot rows.

    Paper: Cristianini et al. (2001, On kernel-target alignment).
    """
    whole = square("alignment", kernel)
    return _array(_cosine(whole, _of_targets("alignment", targets, whole)))


def centered_alignment(kernel: Kernel, other: Kernel) -> Array:
    """Centered kernel alignment (CKA): the cosine of H K H and H K' H with H = I - 1 1^T / n.

    Constant functions count for nothing. For targets y give y y^T as the other.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> K = np.diag([1.0, 2.0, 3.0])
    >>> tw.ntk.scores.centered_alignment(K, 5 * K + 7).round(6).item()
    1.0

    Args:
        kernel, other: (..., n, n) each.

    Paper: Cortes, Mohri & Rostamizadeh (2012), arXiv:1203.0550; Kornblith et al. (2019), arXiv:1905.00414.
    """
    return _array(_cosine(*(_centered(one) for one in _pair("centered_alignment", kernel, other))))


def kernel_distance(kernel: Kernel, other: Kernel) -> Array:
    """1 - <K, K'> / (|K| |K'|): 0 where one is a multiple of the other.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.ntk.scores.kernel_distance(np.eye(2), [3 * np.eye(2), np.ones((2, 2))]).round(3).tolist()
    [0.0, 0.293]

    Paper: Fort et al. (2020), arXiv:2010.15110, by which kernels change fast early in training.
    """
    return _array(1 - _cosine(*_pair("kernel_distance", kernel, other)))


def drift(kernel: Kernel, start: Kernel) -> Array:
    """|K - K_0| / |K_0|: how far a kernel moved from where it began, its size included.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.ntk.scores.drift(1.5 * np.eye(2), np.eye(2)).item()
    0.5
    """
    now, before = _pair("drift", kernel, start)
    return _array(_over(_inner(now - before, now - before).sqrt(), _inner(before, before).sqrt()))


def label_gradient_alignment(kernel: Kernel, classes: Kernel) -> Array:
    """The correlation of the entries of K with those of L, which is 1 where two examples have one class, else -1.

        <K - mean K, L - mean L> / (|K - mean K| |L - mean L|),    means over all entries

    >>> import thalweg as tw
    >>> tw.ntk.scores.label_gradient_alignment([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 2.0]], [5, 5, 7]).item()
    1.0

    Args:
        kernel: (..., n, n).
        classes: (n,), whole numbers.

    Raises:
        UsageError: classes that do not fit, or all of one class.

    Paper: Mok et al. (2022), arXiv:2203.14577.
    """
    whole = square("label_gradient_alignment", kernel)
    labels = targets_of("label_gradient_alignment", classes, whole.shape[-1])[:, 0]
    same = torch.where(labels[:, None] == labels[None], 1.0, -1.0).to(whole)
    if bool((same == 1).all()):
        msg = "label_gradient_alignment needs examples of at least two classes."
        raise UsageError(msg)
    found = _cosine(whole - whole.mean((-1, -2), keepdim=True), same - same.mean())
    return _array(found)


def _inner(first: Kernels, second: Kernels) -> Tensor:
    return (first * second).sum((-1, -2))


def _over(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, NaN where the denominator is 0."""
    none = denominator == 0
    return (numerator / denominator.masked_fill(none, 1)).masked_fill(none, torch.nan)


def _cosine(first: Kernels, second: Kernels) -> Tensor:
    first, second = _scaled(first), _scaled(second)
    return _over(_inner(first, second), (_inner(first, first) * _inner(second, second)).sqrt())


def _scaled(kernel: Kernels) -> Kernels:
    """By its largest entry, so that no square is too large or too small."""
    return _over(kernel, kernel.abs().amax((-1, -2), keepdim=True))


def _centered(kernel: Kernels) -> Kernels:
    rows = kernel.mean(-1, keepdim=True)
    return kernel - rows - rows.mT + rows.mean(-2, keepdim=True)


def _pair(name: str, kernel: Kernel, other: Kernel) -> tuple[Kernels, Kernels]:
    first, second = square(name, kernel), square(name, other)
    second = second.to(first.device)
    try:
        np.broadcast_shapes(first.shape, second.shape)
    except ValueError as error:
        msg = f"{name} needs two kernels of one size; got {tuple(first.shape)} and {tuple(second.shape)}."
        raise UsageError(msg) from error
    if first.shape[-1] != second.shape[-1]:
        msg = f"{name} needs two kernels of one size; got {first.shape[-1]} and {second.shape[-1]} rows."
        raise UsageError(msg)
    return first, second


def _of_targets(name: str, targets: Kernel, kernel: Kernels) -> Kernels:
    y = targets_of(name, targets, kernel.shape[-1]).to(kernel)
    return y @ y.mT


def _array(values: Tensor) -> Array:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
