"""In which order points of an axis are evaluated, so that the first few are good ones for a polynomial."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def leja(points: Array) -> NDArray[np.int64]:
    """An order of points in which the first few, however many, are good ones to put a polynomial through.

    First ends and middle, then always the point whose product of distances to those before is the largest (Leja, 1957,
    doi:10.4064/ap-4-1-8-13).

    >>> import numpy as np
    >>> from thalweg.landscape.leja import leja
    >>> leja(np.linspace(0, 1, 4)).tolist()
    [3, 0, 2, 1]
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(points[:, None] - points))
    order = list(dict.fromkeys((len(points) - 1, 0, len(points) // 2)))
    while len(order) < len(points):
        order.append(int(logs[:, order].sum(1).argmax()))
    return np.array(order)
