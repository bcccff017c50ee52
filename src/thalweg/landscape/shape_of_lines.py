"""What losses on lines look like: how far from a parabola."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words

Array = NDArray[np.float64]


@in_words
def distance_from_parabola(lines: ArrayLike) -> Array:
    """The root mean square distance from the best convex parabola, by the range: (..., points) to (...).

    What is convex need not be a parabola; see `distance_from_convex`. 0 where values at equal distances lie on a convex
    parabola or a straight line; NaN where one is not finite.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> at = np.linspace(-1, 1, 5)
    >>> tw.landscape.distance_from_parabola(np.stack([at**2, -at**2])).round(3).tolist()
    [0.0, 0.418]
    """
    values = np.asarray(lines, dtype=np.float64)
    flat = values.reshape(-1, values.shape[-1])
    unknown = ~np.isfinite(flat)
    flat = np.where(unknown, 0, flat)
    at = np.linspace(-1, 1, flat.shape[1])
    parabolas, straight = (np.polyfit(at, flat.T, degree) for degree in (2, 1))
    best = np.where(parabolas[0] >= 0, parabolas, np.concatenate([np.zeros((1, len(flat))), straight]))
    away = np.sqrt(((flat - (best[0, :, None] * at + best[1, :, None]) * at - best[2, :, None]) ** 2).mean(1))
    span = np.ptp(flat, axis=1)
    found = np.divide(away, span, out=np.zeros_like(span), where=span != 0)
    found[unknown.any(1)] = np.nan
    return found.reshape(values.shape[:-1])
