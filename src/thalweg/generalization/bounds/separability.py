"""How many labellings a linear classifier can tell apart: Cover's count."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.generalization.bounds.arguments import Array, counts


def separability(n: ArrayLike, dimensions: ArrayLike) -> Array:
    """The probability that a hyperplane through the origin separates random labels of points in general position.

        2^(1-n) sum_{k<N} C(n - 1, k):    1 for n <= N, 1/2 at n = 2 N, and a sharp fall there

    >>> import thalweg as tw
    >>> tw.generalization.bounds.separability([80, 90, 100, 110, 120], 50).round(3).tolist()
    [0.988, 0.855, 0.5, 0.169, 0.033]

    Args:
        n: points.
        dimensions: N; with a bias, one more than the inputs have.

    Raises:
        UsageError: fewer than one of either.

    References:
        Cover (1965), doi:10.1109/PGEC.1965.264137.
    """
    from scipy.special import bdtr  # here, for it takes longer to load than all that draws needs

    points, room = np.broadcast_arrays(counts("separability n", n), counts("separability dimensions", dimensions))
    whole = (points - 1).astype(np.int64)
    return np.where(room >= points, 1.0, bdtr(np.minimum(room, points) - 1, whole, 0.5))
