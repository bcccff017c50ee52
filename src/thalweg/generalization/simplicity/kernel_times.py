"""When descent on a kernel has learned targets along directions: in closed form, without training."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.generalization.simplicity.learning_times import as_directions, check_level

Array = NDArray[np.float64]


def kernel_times(
    kernel: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    directions: ArrayLike | Tensor,
    *,
    learning_rate: float = 1.0,
    level: float = 0.9,
) -> Array:
    """The step at which gradient descent on a kernel reaches a level along each direction: (directions,).

        f_t = V (1 - (1 - rate lambda)^t) V^T y,    K / n = V diag(lambda) V^T,    share(t) = v . f_t / v . y

    It descends half the mean square from f = 0, as a network of infinite width with tangent kernel K does. Along an
    eigenvector the time is log(1 - level) / log(1 - rate lambda), whatever the targets. Infinite where the level is
    never reached.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> data = simplicity.circle(512, (3, 5, 7, 9))
    >>> modes = data.ground_truth["modes"]
    >>> kernel = simplicity.circle_kernel(data.ground_truth["angles"])
    >>> times = simplicity.kernel_times(kernel, modes.sum(0), modes, learning_rate=0.1)
    >>> round(float(np.polyfit(np.log([3, 5, 7, 9]), np.log(times), 1)[0]), 2)
    2.0

    Args:
        kernel: of the training inputs, positive semi-definite: (n, n).
        targets: (n,) or (n, 1).
        directions: (directions, n); none orthogonal to the targets.
        learning_rate: below 2 / the largest lambda, above which descent diverges.
        level: the share that counts as learned, between 0 and 1.

    Raises:
        UsageError: shapes that do not fit, a rate that diverges, or a direction along which there is nothing to learn.

    Cost: an eigendecomposition.

    Paper: Basri et al. (2019), arXiv:1906.00425.
    """
    check_level("kernel_times", level)
    check_type("kernel_times learning_rate", learning_rate, (int, float), "a number above 0")
    matrix, y = (np.asarray(one.cpu() if isinstance(one, Tensor) else one, np.float64) for one in (kernel, targets))
    y = y.reshape(-1)
    if matrix.shape != (len(y), len(y)):
        msg = f"kernel_times needs a kernel (n, n) and targets (n,); got {matrix.shape} and {len(y)} targets."
        raise UsageError(msg)
    table = as_directions("kernel_times", directions, len(y)).numpy()
    values, vectors = np.linalg.eigh(matrix)
    left = 1 - learning_rate * values.clip(0) / len(y)
    if not learning_rate > 0 or left.min() <= -1:
        most = 2 * len(y) / values[-1]
        msg = f"Descent on this kernel needs a learning rate above 0 and below {most:.4g}; got {learning_rate}."
        raise UsageError(msg)
    whole = table @ y
    if (np.abs(whole) <= 1e-12 * np.linalg.norm(table, axis=1) * np.linalg.norm(y)).any():
        msg = "The targets have nothing along one of the directions, so there is nothing to learn."
        raise UsageError(msg)
    parts = (table @ vectors) * (vectors.T @ y) / whole[:, None]

    def shares(time: Array) -> Array:
        """At a time of each direction; between two steps a factor below 0 turns as exp(i pi t)."""
        with np.errstate(divide="ignore"):
            sizes = np.exp(np.multiply.outer(time, np.log(np.abs(left))))
        turned = np.where(left < 0, np.cos(np.pi * time)[..., None], 1.0)
        return (parts * (1 - turned * sizes)).sum(-1)

    slow = np.abs(np.log(np.abs(left[(left != 0) & (left < 1)])))
    longest = 40 / slow.min() if len(slow) else 1.0
    grid = np.geomspace(1e-3, max(longest, 1.0), 2_000)
    found = np.full(len(table), np.inf)
    along = np.stack([shares(np.full(len(table), time)) for time in grid], 1)
    reached = along >= level
    some = reached.any(1)
    place = reached.argmax(1)
    low, high = np.where(place > 0, grid[place - 1], 0.0), grid[place]
    for _ in range(60):
        middle = (low + high) / 2
        beyond = shares(middle) >= level
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    found[some] = high[some]
    return found


def principal_directions(inputs: ArrayLike | Tensor, count: int = 8) -> Array:
    """The leading principal components of the inputs, as directions over the examples: (count, examples).

        centered X = U S V^T;    rows of U^T, of length 1, by falling variance

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> x = np.outer(np.arange(4.0), [1.0, 2.0])
    >>> np.abs(simplicity.principal_directions(x, 1) * np.sqrt(20)).round(6).tolist()
    [[3.0, 1.0, 1.0, 3.0]]

    Args:
        inputs: (examples, ...).
        count: at most the rank of the centered inputs.

    Raises:
        UsageError: more than there are, or inputs that are not finite numbers.
    """
    x = torch.as_tensor(inputs if isinstance(inputs, Tensor) else np.asarray(inputs)).double().cpu().flatten(1)
    if not x.numel() or not bool(x.isfinite().all()):
        msg = f"principal_directions needs finite numbers (examples, ...), at least one; got shape {tuple(x.shape)}."
        raise UsageError(msg)
    left, sizes, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    rank = int((sizes > sizes[0] * max(x.shape) * torch.finfo(torch.float64).eps).sum())
    if not rank:
        msg = "principal_directions needs inputs that differ; these are all the same."
        raise UsageError(msg)
    if not 1 <= count <= rank:
        msg = f"principal_directions count must be from 1 to {rank}, the rank of these inputs; got {count}."
        raise UsageError(msg)
    return left[:, :count].T.numpy().copy()
