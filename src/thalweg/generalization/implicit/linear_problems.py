"""Linear regressions of one size, as many at once as are given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError

Array = NDArray[np.float64]


def linear_problems(
    name: str, x: ArrayLike, y: ArrayLike, start: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Inputs (problems, examples, features), targets (problems, examples) and starts (problems, features), in float64.

    >>> from thalweg.generalization.implicit.linear_problems import linear_problems
    >>> [part.shape for part in linear_problems("limit_points", [[1.0, 2.0]], [3.0])]
    [(1, 1, 2), (1, 1), (1, 2)]

    Args:
        name: of the function that asks, for errors.
        x, y, start: with or without the first dimension; a start for all problems, or one for each; None is 0.

    Raises:
        UsageError: shapes that do not fit, or numbers that are not finite.
    """
    inputs, targets = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if inputs.ndim not in (2, 3) or targets.shape != inputs.shape[:-1] or not inputs.size:
        msg = f"{name} takes x (examples, features) and y (examples,), or both with problems in front; got "
        raise UsageError(msg + f"{inputs.shape} and {targets.shape}.")
    inputs, targets = inputs.reshape(-1, *inputs.shape[-2:]), targets.reshape(-1, inputs.shape[-2])
    shape = (len(inputs), inputs.shape[2])
    begun = np.zeros(shape) if start is None else np.asarray(start, dtype=np.float64)
    if begun.shape not in (shape, shape[1:]):
        msg = f"{name} start is (features,) or (problems, features), here {shape[1:]} or {shape}; got {begun.shape}."
        raise UsageError(msg)
    if not all(np.isfinite(part).all() for part in (inputs, targets, begun)):
        msg = f"{name} needs finite numbers; x, y or start holds some that are not."
        raise UsageError(msg)
    return inputs, targets, np.broadcast_to(begun, shape)
