"""How far the mean of a few values may be off."""

import numpy as np
from numpy.typing import NDArray


def standard_error(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard error of the mean over the last axis: std / sqrt(n), with n - 1 degrees of freedom.

    >>> import numpy as np
    >>> from thalweg.statistics import standard_error
    >>> standard_error(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.inf]])).round(3).tolist()
    [0.577, nan]

    Args:
        samples: (..., n), one value a unit.

    Returns:
        (...,); NaN where there is one value, or one that is not finite.
    """
    n = samples.shape[-1]
    if n < 2:
        return np.full(samples.shape[:-1], np.nan)
    finite = np.isfinite(samples)
    with np.errstate(over="ignore"):  # losses just short of divergence
        spread = np.where(finite, samples, 0.0).std(axis=-1, ddof=1) / n**0.5
    return np.where(finite.all(axis=-1), spread, np.nan)
