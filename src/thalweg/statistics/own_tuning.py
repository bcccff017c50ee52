"""Choices that each scored unit makes on tuning seeds of its own, so that the doubt about them is in the interval.

One choice of, say, a learning rate, shared by all scored seeds, is a single draw: the interval over seeds is about what
that rate gives, and not about what tuning gives, which on other seeds could have been another rate. Where every scored
seed chooses by itself, its value has the luck of its tuning in it, values are independent, and any interval over seeds
is about tuning and scoring together.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError

__all__ = ["own_choices", "taken"]


@in_words
def own_choices(tuned: ArrayLike) -> NDArray[np.int64]:
    """What each scored seed chooses: argmin over choices of the mean over its own tuning seeds: (seeds,).

    >>> from thalweg.statistics import own_choices, taken
    >>> choices = own_choices([[[1.0, 1.2], [3.0, 3.1]], [[2.0, 2.1], [0.5, 0.4]]])  # 2 rates, 2 seeds, 2 to tune on
    >>> choices.tolist(), taken([[10.0, 20.0], [30.0, 40.0]], choices).tolist()
    ([0, 1], [10.0, 40.0])

    Args:
        tuned: losses, less being better, of every choice on the tuning seeds of every scored one: (choices, seeds,
            tuning). What is not finite is never chosen, unless nothing is; of equal ones the first is.

    Raises:
        UsageError: no such table.
    """
    table = np.asarray(tuned, dtype=np.float64)
    if table.ndim != 3 or 0 in table.shape:
        msg = f"own_choices needs losses (choices, seeds, tuning seeds of each); got shape {table.shape}."
        raise UsageError(msg)
    with np.errstate(over="ignore"):  # what diverged may be too large to add
        means = np.where(np.isfinite(table), table, np.inf).mean(2)
    return means.argmin(0)


@in_words
def taken(scored: ArrayLike, choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value of every scored seed at its own choice: (choices, seeds, ...) to (seeds, ...); see `own_choices`.

    >>> import numpy as np
    >>> from thalweg.statistics import taken
    >>> taken([[10.0, 20.0], [30.0, 40.0]], np.array([1, 0])).tolist()
    [30.0, 20.0]

    Raises:
        UsageError: not as many seeds as choices were made.
    """
    values = np.asarray(scored, dtype=np.float64)
    if values.ndim < 2 or values.shape[1] != len(choices):
        msg = f"taken needs values (choices, {len(choices)} seeds, ...), a seed for each choice; got {values.shape}."
        raise UsageError(msg)
    return values[choices, np.arange(len(choices))]
