"""Gaffke's interval for the mean of values between 0 and 1, whatever their distribution, for many data sets at once."""

import numpy as np
from numpy.typing import NDArray

from thalweg.statistics.student_t import LEVEL

Array = NDArray[np.float64]


def gaffke_ends(samples: Array, draws: int, seed: int = 0) -> tuple[Array, Array]:
    """The ends of the 95 % interval for the mean of each row of values from 0 to 1: (sets, n) to (sets,) each.

    With D ~ Dirichlet(1, ..., 1) of n + 1 weights: the 2.5 % point of sum D_i x_i, and the 97.5 % point of
    sum D_i x_i + D_(n+1).

    >>> import numpy as np
    >>> from thalweg.statistics.gaffke import gaffke_ends
    >>> low, high = gaffke_ends(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), 999)
    >>> low[0], high[0] < 0.75, low[1] > 0.25, high[1]
    (np.float64(0.0), np.True_, np.True_, np.float64(1.0))

    References:
        Gaffke (2005); Learned-Miller & Thomas (2019), arXiv:1905.06208.
    """
    n = samples.shape[1]
    weights = np.random.default_rng(seed).dirichlet(np.ones(n + 1), draws)
    tail = round((draws + 1) * (1 - LEVEL) / 2)
    least = weights[:, :n] @ samples.T
    most = least + weights[:, n:]
    least.partition(tail - 1, axis=0)
    most.partition(draws - tail, axis=0)
    low, high = least[tail - 1], most[draws - tail]
    return np.where(samples.any(1), low, 0.0), np.where((1 - samples).any(1), high, 1.0)
