"""Numbers that a bound wants fixed before the data, chosen by the data: the nearest of a grid, and its price."""

import math

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.generalization.bounds.arguments import Array, amounts, counts

RATIO = 1.1  # of neighbors on the grid


def rounded_up(value: ArrayLike, *, ratio: float = RATIO) -> tuple[Array, Array]:
    """The smallest number ratio^k that is not below a value, and ln of what a union over all whole k costs.

        ln(1.5 (|k| + 1) (|k| + 2)),    since the sum of 1 / ((|k| + 1) (|k| + 2)) over all whole k is 1.5

    A bound for a norm of at most B holds for all of these B at once, each at delta exp(-price).

    >>> import thalweg as tw
    >>> size, price = tw.generalization.bounds.rounded_up(3.0, ratio=2.0)
    >>> float(size), float(price.round(3))
    (4.0, 2.89)

    Args:
        value: at least 0; 0 is taken for the smallest positive number of float32.
        ratio: above 1: a finer grid rounds less and costs more.

    Raises:
        UsageError: a value below 0, or a ratio that is not above 1.
    """
    return _on_grid("rounded_up", value, ratio, np.ceil)


def rounded_down(value: ArrayLike, *, ratio: float = RATIO) -> tuple[Array, Array]:
    """The largest number ratio^k that is not above a value, such as a margin, and its price: see `rounded_up`.

    >>> import thalweg as tw
    >>> size, price = tw.generalization.bounds.rounded_down(3.0, ratio=2.0)
    >>> float(size), float(price.round(3))
    (2.0, 2.197)

    Args:
        value, ratio: see `rounded_up`, also for what is raised.
    """
    return _on_grid("rounded_down", value, ratio, np.floor)


def variance_price(place: ArrayLike) -> Array:
    """ln(pi^2 j^2 / 6): what the variance c exp(-j/b) of a prior costs, of the grid j = 1, 2, 3, ... of the literature.

    ln(1/delta) becomes ln(pi^2 j^2 / (6 delta)), since the sum of 1/j^2 is pi^2/6.

    >>> import thalweg as tw
    >>> tw.generalization.bounds.variance_price([1, 10]).round(3).tolist()
    [0.498, 5.103]

    Args:
        place: j, whole numbers from 1 on.

    Raises:
        UsageError: others: the grid begins at 1.

    References:
        Langford & Caruana (2001), NeurIPS 14; Dziugaite & Roy (2017), arXiv:1703.11008, section 3.1.
    """
    return np.log(np.pi**2 * counts("variance_price place", place) ** 2 / 6)


def _on_grid(name: str, value: ArrayLike, ratio: float, way: np.ufunc) -> tuple[Array, Array]:
    if not 1 < ratio < math.inf:
        msg = f"{name} ratio must be above 1; got {ratio}."
        raise UsageError(msg)
    size = np.maximum(amounts(f"{name} value", value), np.finfo(np.float32).tiny)
    finite = np.isfinite(size)
    logs = np.log(np.where(finite, size, 1.0)) / math.log(ratio)
    place = way(np.where(np.abs(logs - np.round(logs)) < 1e-9, np.round(logs), logs))  # numbers of the grid themselves
    with np.errstate(over="ignore"):
        rounded = np.where(finite, ratio**place, np.inf)
    return rounded, np.log(1.5 * (np.abs(place) + 1) * (np.abs(place) + 2))
