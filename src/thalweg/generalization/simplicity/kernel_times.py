"""When descent on a kernel has learned targets along directions: in closed form, without training."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.generalization.simplicity.learning_times import as_directions, check_level
from thalweg.guard import guarded

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Descent:
    """Gradient descent on a kernel from 0.

    Args:
        parts: of what is to be learned along each direction, the share in each eigenvector: (directions, n).
        left: what a step leaves of each eigenvector, 1 - rate lambda: (n,).
    """

    parts: Array
    left: Array

    @classmethod
    def of(
        cls,
        name: str,
        kernel: ArrayLike | Tensor,
        targets: ArrayLike | Tensor,
        directions: ArrayLike | Tensor,
        learning_rate: float,
    ) -> "_Descent":
        """Checked; `name` is the asker's, for errors."""
        check_type(f"{name} learning_rate", learning_rate, (int, float), "a number above 0")
        matrix, y = (np.asarray(one.cpu() if isinstance(one, Tensor) else one, np.float64) for one in (kernel, targets))
        y = y.reshape(-1)
        if matrix.shape != (len(y), len(y)):
            msg = f"{name} needs a kernel (n, n) and targets (n,); got {matrix.shape} and {len(y)} targets."
            raise UsageError(msg)
        table = as_directions(name, directions, len(y)).numpy()
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
        return cls((table @ vectors) * (vectors.T @ y) / whole[:, None], left)

    def kept(self, times: Array) -> Array:
        """What is left of each eigenvector: (..., n); between two steps a factor below 0 turns as exp(i pi t)."""
        with np.errstate(divide="ignore"):
            sizes = np.exp(np.multiply.outer(times, np.log(np.abs(self.left))))
        return np.where(self.left < 0, np.cos(np.pi * times)[..., None], 1.0) * np.where(
            times[..., None] == 0, 1.0, sizes
        )

    def shares(self, times: Array) -> Array:
        """Of every direction at all of these times: (directions, times)."""
        return self.parts.sum(1)[:, None] - self.parts @ self.kept(times).T

    def shares_of_each(self, times: Array) -> Array:
        """Of every direction at a time of its own: (directions,)."""
        return (self.parts * (1 - self.kept(times))).sum(1)


@guarded
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
    descent = _Descent.of("kernel_times", kernel, targets, directions, learning_rate)
    left = descent.left
    slow = np.abs(np.log(np.abs(left[(left != 0) & (left < 1)])))
    longest = 40 / slow.min() if len(slow) else 1.0
    grid = np.geomspace(1e-3, max(longest, 1.0), 2_000)
    reached = descent.shares(grid) >= level
    some, place = reached.any(1), reached.argmax(1)
    low, high = np.where(place > 0, grid[place - 1], 0.0), grid[place]
    for _ in range(60):
        middle = (low + high) / 2
        beyond = descent.shares_of_each(middle) >= level
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.where(some, high, np.inf)


@in_words
def kernel_shares(
    kernel: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    directions: ArrayLike | Tensor,
    steps: ArrayLike,
    *,
    learning_rate: float = 1.0,
) -> Array:
    """How far gradient descent on a kernel has come along each direction after so many steps: (directions, steps).

    The share of the way to the targets, in closed form, of which `kernel_times` is the time to a level.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> simplicity.kernel_shares(np.eye(2), [1.0, 2.0], [[1.0, 0.0]], [0, 1, 2]).round(6).tolist()  # 1 - (1 - 1/2)^t
    [[0.0, 0.5, 0.75]]

    Args:
        kernel, targets, directions, learning_rate: see `kernel_times`.
        steps: from 0: (steps,).

    Raises:
        UsageError: what `kernel_times` refuses, or steps that are negative or not finite.

    Cost: an eigendecomposition.

    Paper: Basri et al. (2019), arXiv:1906.00425.
    """
    times = np.atleast_1d(np.asarray(steps, dtype=np.float64))
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        msg = f"kernel_shares steps must be numbers from 0, (steps,); got {steps}."
        raise UsageError(msg)
    return _Descent.of("kernel_shares", kernel, targets, directions, learning_rate).shares(times)


@in_words
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
