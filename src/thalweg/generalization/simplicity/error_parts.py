"""The squared error in the span of the inputs and beyond it, and when each is halved."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.generalization.simplicity.checkpoints import first_reached

Array = NDArray[np.float64]


@in_words
def error_parts(errors: ArrayLike, inputs: ArrayLike) -> tuple[Array, Array]:
    """The mean squared error in the span of (1, x), and the rest: (..., examples, outputs) to (...,) each.

        linear = |Q^T e|^2 / n,    non-linear = |e|^2 / n - linear,    Q an orthonormal basis of the columns of (1, X)

    Both add up to the mean over examples of the squared length of e.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> x = np.linspace(-1, 1, 5)[:, None]
    >>> [round(float(part), 6) for part in simplicity.error_parts(1 + 2 * x + x**2, x)]
    [4.25, 0.175]

    Args:
        errors: outputs minus targets: (..., examples, outputs).
        inputs: (examples, features).

    Raises:
        UsageError: not as many examples of both, or so few that every error is linear.

    Cost: a singular value decomposition of the inputs, and two products with the errors.
    """
    table, x = np.asarray(errors, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    if x.ndim != 2 or table.ndim < 2 or table.shape[-2] != len(x):
        msg = f"error_parts needs errors (..., examples, outputs) and inputs (examples, features); got {table.shape} "
        raise UsageError(msg + f"and {x.shape}.")
    return parts_in(basis_of(x), table)


@in_words
def half_time(steps: ArrayLike, values: ArrayLike) -> Array:
    """The first step at which half of the first value is left, on the log grid: (..., steps) to (...,).

    Between two evaluations the value is a straight line over log(1 + step); infinite where it is never halved.

    >>> from thalweg.generalization import simplicity
    >>> simplicity.half_time([0, 1, 3, 7], [[4.0, 3.0, 2.0, 1.0], [1.0, 0.9, 0.8, 0.7]]).round(6).tolist()
    [3.0, inf]

    Args:
        steps: evaluated, ascending: (steps,).
        values: such as a part of the error: (..., steps).
    """
    table = np.asarray(values, dtype=np.float64)
    return first_reached(steps, -table, -table[..., 0] / 2, logarithmic=True)


@in_words
def kernel_half_times(kernel: ArrayLike, targets: ArrayLike, inputs: ArrayLike) -> tuple[float, float]:
    """When descent on a kernel halves the linear and the non-linear part of its training error, from zero.

        e(t) = -exp(-t K / n) y,    parts as `error_parts`;    t in steps times learning rate

    A kernel with equal eigenvalues has equal times, whatever the targets; a smooth kernel has the linear part first, so
    that this order is one of smooth kernels before it is one of networks.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> x, y = np.random.default_rng(0).standard_normal((2, 30, 1))
    >>> [round(time, 4) for time in simplicity.kernel_half_times(np.eye(30), y, x)]  # n log(2) / 2
    [10.3972, 10.3972]

    Args:
        kernel: of the training inputs, positive semi-definite: (n, n).
        targets: (n, outputs).
        inputs: (n, features).

    Returns:
        linear, non-linear; infinite where half of it is never learned.

    Raises:
        UsageError: shapes that do not fit, or numbers that are not finite.

    Cost: an eigendecomposition.
    """
    matrix, y = np.asarray(kernel, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    n = len(matrix)
    if matrix.shape != (n, n) or y.shape[:1] != (n,) or y.ndim != 2:
        msg = f"kernel_half_times needs a kernel (n, n) and targets (n, outputs); got {matrix.shape} and {y.shape}."
        raise UsageError(msg)
    if not np.isfinite(matrix).all() or not np.isfinite(y).all():
        msg = "kernel_half_times needs a kernel and targets of finite numbers."
        raise UsageError(msg)
    basis = basis_of(np.asarray(inputs, dtype=np.float64))
    values, vectors = np.linalg.eigh(matrix)
    rates, modes = values.clip(0) / n, vectors.T @ y
    if not rates.max() > 0:
        return np.inf, np.inf
    turned = basis.T @ vectors

    def parts(time: float) -> Array:
        left = np.exp(-rates * time)[:, None] * modes
        linear = np.square(turned @ left).sum()
        return np.array([linear, np.square(left).sum() - linear])

    times = 1 / rates.max() * np.geomspace(1e-3, 1e12, 300)
    along, start = np.array([parts(time) for time in times]), parts(0.0)
    found = []
    for part in range(2):
        reached = np.flatnonzero(along[:, part] <= start[part] / 2)
        low, high = (0.0, np.inf) if not len(reached) else (times[max(reached[0] - 1, 0)], times[reached[0]])
        for _ in range(60 if np.isfinite(high) else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if parts(middle)[part] > start[part] / 2 else (low, middle)
        found.append(float(high))
    return found[0], found[1]


def parts_in(basis: Array, errors: Array) -> tuple[Array, Array]:
    """The parts of errors (..., examples, outputs) in the span of a basis of `basis_of`, and beyond: (...,) each."""
    linear = np.square(basis.T @ errors).sum((-2, -1)) / len(basis)
    return linear, np.square(errors).sum((-2, -1)) / len(basis) - linear


def basis_of(inputs: Array) -> Array:
    """An orthonormal basis of the columns of (1, X): (examples, rank).

    Raises:
        UsageError: so few examples that nothing is beyond it.
    """
    table = np.column_stack([np.ones(len(inputs)), inputs])
    left, sizes, _ = np.linalg.svd(table, full_matrices=False)
    basis = left[:, sizes > sizes[0] * max(table.shape) * np.finfo(float).eps]
    if basis.shape[1] >= len(inputs):
        msg = f"{len(inputs)} examples in {inputs.shape[1]} dimensions are fitted by a linear model whatever the "
        raise UsageError(msg + "targets are, so no part of the error is non-linear; give more examples.")
    return basis
