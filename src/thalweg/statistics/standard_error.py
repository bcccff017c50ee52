"""How far the mean of a few values may be off."""

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words


@in_words
def standard_error(samples: NDArray[np.float64], *, axis: int = -1) -> NDArray[np.float64]:
    """The standard error of the mean over an axis: std / sqrt(n), with n - 1 degrees of freedom.

    >>> import numpy as np
    >>> from thalweg.statistics import standard_error
    >>> standard_error(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.inf]])).round(3).tolist()
    [0.577, nan]

    Args:
        samples: one value a unit along the axis, (..., n).
        axis: which, the last by default.

    Returns:
        without the axis, (...,); NaN where there is one value, or one that is not finite.
    """
    n, finite = samples.shape[axis], np.isfinite(samples)
    known = finite.all(axis=axis)
    if n < 2:
        return np.full(known.shape, np.nan)
    with np.errstate(over="ignore"):  # losses just short of divergence
        spread = np.where(finite, samples, 0.0).std(axis=axis, ddof=1) / n**0.5
    return np.where(known, spread, np.nan)
